#include <zsync/store/document.hpp>
#include <zsync/store/limits.hpp>
#include <zsync/store/store.hpp>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <tests/store/scratch.hpp>

using namespace zsync;
using namespace zsync::store;

namespace {

Store opened(const Scratch& scratch) {
    auto store = Store::open(scratch.path());
    EXPECT_TRUE(store) << store.error().message();
    return *std::move(store);
}

void spoil(const std::string& path, std::string_view bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::vector<std::string> files_in(const Scratch& scratch) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(scratch.path())) {
        names.push_back(entry.path().filename());
    }
    std::ranges::sort(names);
    return names;
}

} // namespace

TEST(Store, keeps_documents_across_processes) {
    const Scratch scratch;
    {
        Store store = opened(scratch);
        ASSERT_TRUE(store.put("packet.eth0", "one"));
        ASSERT_TRUE(store.put("packet.eth0", "two"));
        ASSERT_TRUE(store.put("a", ""));
    }
    Store store = opened(scratch);
    EXPECT_EQ(store.get("packet.eth0").value(), "two");
    EXPECT_EQ(store.get("a").value(), "");
    EXPECT_EQ(store.list().value(), (std::vector<std::string>{"a", "packet.eth0"}));
    EXPECT_EQ(files_in(scratch), (std::vector<std::string>{"a", "packet.eth0"}));
    const auto all = store.read_all();
    ASSERT_TRUE(all);
    ASSERT_EQ(all->documents.size(), 2U);
    EXPECT_EQ(all->documents[1].content, "two");
    EXPECT_TRUE(all->damaged.empty());
}

TEST(Store, files_are_for_their_owner_only) {
    const Scratch scratch;
    ASSERT_TRUE(opened(scratch).put("a", "secret"));
    struct stat status{};
    ASSERT_EQ(::stat(scratch.file("a").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0600U);
}

TEST(Store, erase_removes_and_may_be_repeated) {
    const Scratch scratch;
    Store store = opened(scratch);
    ASSERT_TRUE(store.put("a", "x"));
    EXPECT_TRUE(store.erase("a"));
    EXPECT_TRUE(store.erase("a"));
    EXPECT_EQ(store.get("a").error().error, StoreError::no_such_document);
    EXPECT_TRUE(files_in(scratch).empty());
}

TEST(Store, names_cannot_leave_the_directory_or_hide_in_it) {
    const Scratch scratch;
    Store store = opened(scratch);
    const std::string longest(limits::name_bytes_max, 'n');
    for (const std::string& good :
         {std::string("a"), std::string("packet.eth0%2f-_@"), std::string("0"), longest}) {
        EXPECT_TRUE(store.put(good, "x")) << good;
    }
    using namespace std::string_literals;
    for (const std::string& bad :
         {""s,
          "."s,
          ".."s,
          "../a"s,
          "a/b"s,
          "/a"s,
          ".a.new"s,
          "a b"s,
          "a\0b"s,
          "\xc3\xa9"s,
          "-a"s,
          "a.corrupt-1"s,
          longest + "n"}) {
        EXPECT_EQ(store.put(bad, "x").error().error, StoreError::invalid_name) << bad;
        EXPECT_EQ(store.get(bad).error().error, StoreError::invalid_name) << bad;
        EXPECT_EQ(store.erase(bad).error().error, StoreError::invalid_name) << bad;
    }
}

TEST(Store, a_damaged_document_is_set_aside_and_said) {
    const Scratch scratch;
    Store store = opened(scratch);
    ASSERT_TRUE(store.put("good", "x"));
    const std::string whole = encode_document("content");
    for (const std::string& bytes :
         {std::string(),
          whole.substr(0, 9),
          whole + "x",
          std::string("garbage"),
          std::string(100'000, '\xff')}) {
        spoil(scratch.file("bad"), bytes);
        const auto got = store.get("bad");
        ASSERT_FALSE(got);
        EXPECT_EQ(got.error().error, StoreError::damaged);
        const std::string message = got.error().message();
        constexpr std::string_view mark = "; it is kept as ";
        const std::size_t at = message.find(mark);
        ASSERT_TRUE(message.contains("/bad is damaged: ") && at != std::string::npos) << message;
        const std::string kept_as = message.substr(at + mark.size());
        ASSERT_TRUE(kept_as.starts_with("bad.corrupt-2") && kept_as.ends_with("Z")) << message;
        std::ifstream kept(scratch.file(kept_as), std::ios::binary);
        EXPECT_EQ(std::string(std::istreambuf_iterator<char>(kept), {}), bytes);
        EXPECT_EQ(store.get("bad").error().error, StoreError::no_such_document);
    }
    EXPECT_EQ(store.list().value(), std::vector<std::string>{"good"});
}

TEST(Store, damage_hides_no_other_document) {
    const Scratch scratch;
    Store store = opened(scratch);
    ASSERT_TRUE(store.put("a", "1"));
    ASSERT_TRUE(store.put("z", "2"));
    spoil(scratch.file("m"), "garbage");
    const auto all = store.read_all();
    ASSERT_TRUE(all);
    EXPECT_EQ(all->documents.size(), 2U);
    ASSERT_EQ(all->damaged.size(), 1U);
    EXPECT_TRUE(all->damaged[0].message().contains("it has no header"));
}

TEST(Store, what_is_no_file_is_set_aside_too) {
    const Scratch scratch;
    Store store = opened(scratch);
    std::filesystem::create_symlink("/etc/passwd", scratch.file("link"));
    std::filesystem::create_directory(scratch.file("directory"));
    ASSERT_EQ(::mkfifo(scratch.file("fifo").c_str(), 0600), 0);
    const auto all = store.read_all();
    ASSERT_TRUE(all);
    EXPECT_TRUE(all->documents.empty());
    EXPECT_EQ(all->damaged.size(), 3U);
    EXPECT_TRUE(store.list().value().empty());
}

TEST(Store, a_link_in_the_place_of_a_document_is_replaced_and_not_followed) {
    const Scratch scratch;
    Store store = opened(scratch);
    spoil(scratch.file("victim"), "old");
    std::filesystem::create_symlink(scratch.file("victim"), scratch.file("a"));
    ASSERT_TRUE(store.put("a", "new"));
    EXPECT_EQ(store.get("a").value(), "new");
    std::ifstream victim(scratch.file("victim"));
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(victim), {}), "old");
}

TEST(Store, only_so_many_damaged_files_of_a_name_are_kept) {
    const Scratch scratch;
    Store store = opened(scratch);
    for (std::size_t i = 0; i < limits::kept_aside_max + 1; ++i) {
        spoil(scratch.file("a"), std::to_string(i));
        ASSERT_EQ(store.get("a").error().error, StoreError::damaged);
        EXPECT_EQ(files_in(scratch).size(), std::min(i + 1, limits::kept_aside_max));
    }
    std::ifstream oldest(scratch.file(files_in(scratch).front()));
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(oldest), {}), "1");
}

TEST(Store, an_owner_can_set_aside_what_means_nothing) {
    const Scratch scratch;
    Store store = opened(scratch);
    ASSERT_TRUE(store.put("a", "nonsense"));
    const Fault fault = store.set_aside("a", "it names no interface");
    EXPECT_EQ(fault.error, StoreError::damaged);
    EXPECT_TRUE(
        fault.message().contains("/a is damaged: it names no interface; it is kept as a.corrupt-")
    );
    EXPECT_TRUE(store.list().value().empty());
}

TEST(Store, content_up_to_the_limit) {
    const Scratch scratch;
    Store store = opened(scratch);
    std::string content(limits::document_bytes_max, 'x');
    ASSERT_TRUE(store.put("a", content));
    EXPECT_EQ(store.get("a").value(), content);
    content += 'x';
    EXPECT_EQ(store.put("a", content).error().error, StoreError::too_big);
    EXPECT_EQ(store.get("a").value().size(), limits::document_bytes_max);
    std::filesystem::resize_file(scratch.file("a"), limits::document_bytes_max + 1000);
    EXPECT_TRUE(store.get("a").error().message().contains("it is too big"));
}

TEST(Store, documents_up_to_the_limit) {
    const Scratch scratch;
    Store store = opened(scratch);
    for (std::size_t i = 0; i + 1 < limits::documents_max; ++i) {
        spoil(scratch.file("d" + std::to_string(i)), encode_document("x"));
    }
    EXPECT_TRUE(store.put("last", "x"));
    EXPECT_EQ(store.put("over", "x").error().error, StoreError::too_big);
    EXPECT_TRUE(store.put("last", "y"));
    EXPECT_EQ(store.list().value().size(), limits::documents_max);
}

TEST(Store, one_process_at_a_time) {
    const Scratch scratch;
    auto store = Store::open(scratch.path());
    ASSERT_TRUE(store);
    const auto second = Store::open(scratch.path());
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().error, StoreError::in_use);
    EXPECT_EQ(
        second.error().message(),
        "the state directory " + scratch.path() + " is in use by another process"
    );
}

TEST(Store, a_missing_directory_is_said_and_not_made) {
    const auto store = Store::open("/no/such/directory");
    ASSERT_FALSE(store);
    EXPECT_EQ(
        store.error().message(),
        "cannot open the state directory /no/such/directory: No such file or directory; create it, "
        "or name another with --state-dir"
    );
    const auto file = Store::open("/etc/passwd");
    ASSERT_FALSE(file);
    EXPECT_EQ(
        file.error().message(), "cannot open the state directory /etc/passwd: Not a directory"
    );
}

TEST(Store, what_an_interrupted_put_left_is_removed_at_the_next_start) {
    const Scratch scratch;
    spoil(scratch.file(".a.new"), "half");
    spoil(scratch.file("README"), encode_document("x"));
    opened(scratch);
    EXPECT_EQ(files_in(scratch), std::vector<std::string>{"README"});
}
