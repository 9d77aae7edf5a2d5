#include <zsync/core/buffer_pool.hpp>
#include <zsync/core/debug_layout.hpp>
#include <zsync/core/executor.hpp>
#include <zsync/core/fd.hpp>
#include <zsync/core/frame_pool.hpp>
#include <zsync/core/ledger.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/task_record.hpp>
#include <zsync/core/worker.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <format>
#include <link.h>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace zsync {
namespace {

/// One line, or more, for a person.
using Lines = std::vector<std::string>;

/// Who made something, and where.
struct Origin {
    const Executor* executor = nullptr;
    std::uint64_t task = 0;
    std::string task_name{};
    std::string place{};              ///< file:line; empty where only the maker is known
    std::vector<std::string> chain{}; ///< the awaits around it, from the inner one outwards

    [[nodiscard]] std::string text() const {
        std::string text = place.empty() ? "" : std::format(" at {}", place);
        if (task != 0) {
            text += std::format(" by task {} \"{}\"", task, task_name);
        }
        for (const std::string& outer : chain) {
            text += std::format("\n      awaited at {}", outer);
        }
        return text;
    }
};

struct Frame {
    FrameUse use;
    Origin origin;
};

/// Everything that is remembered.
struct Book {
    std::mutex mutex;
    std::optional<LeakPolicy> policy;
    std::unordered_map<const void*, Frame> frames;
    std::unordered_map<const void*, Origin> chunks;   ///< by the buffer
    std::unordered_map<const void*, Origin> requests; ///< by the stream's state
    std::map<int, Origin> descriptors;
    std::map<const BufferPool*, Origin> pools;
    std::unordered_set<const void*> told; ///< frames, of which a worker has told when it ended
    std::array<bool, limits::ledger_executors_max + 1> slot_taken{}; ///< by a live executor
};

/// Descriptors that the tasks of each executor have open. Slot 0 is nobody's.
constinit std::array<std::atomic<std::int64_t>, limits::ledger_executors_max + 1> descriptors{};

/// Whether two executors have lived at a time.
constinit std::atomic<bool> had_several{false};

/// A place in the program, and what was there: an executor, by its slot, and a task, by its name.
struct Maker {
    std::uint16_t slot;
    const void* place; ///< what a std::source_location holds
    std::string task;

    auto operator<=>(const Maker&) const = default;
    [[nodiscard]] std::string text() const {
        const auto made = std::bit_cast<std::source_location>(place);
        return std::format(" at {} by a task \"{}\"", place_of(made), task);
    }
};

/// Of every descriptor two bytes: the number of who opened it, 0 where that is not known. There may
/// be many descriptors, opened at few places.
class Openings {
public:
    void add(int fd, std::uint16_t slot, const std::source_location& made, std::string_view task) {
        if (Number* number = find(fd, true)) {
            const auto* place = std::bit_cast<const void*>(made);
            number->store(number_of(slot, place, task), std::memory_order_relaxed);
        }
    }
    void remove(int fd) {
        if (Number* number = find(fd, false)) {
            number->store(0, std::memory_order_relaxed);
        }
    }
    /// Null where that is not known.
    [[nodiscard]] const Maker* of(int fd) {
        const Number* number = find(fd, false);
        const std::uint16_t found = number != nullptr ? number->load(std::memory_order_relaxed) : 0;
        const std::lock_guard guard(mutex_);
        return found != 0 ? makers_[found - 1] : nullptr;
    }
    [[nodiscard]] Lines of_slot(std::uint16_t slot) {
        Lines lines;
        for (std::size_t page = 0; page < pages_.size(); ++page) {
            const bool used = pages_[page].load(std::memory_order_acquire) != nullptr;
            for (std::size_t n = 0; used && n < page_size; ++n) {
                const auto fd = static_cast<int>(page * page_size + n);
                if (const Maker* maker = of(fd); maker != nullptr && maker->slot == slot) {
                    lines.push_back(std::format("descriptor {}, opened{}", fd, maker->text()));
                }
            }
        }
        return lines;
    }

private:
    using Number = std::atomic<std::uint16_t>;
    static constexpr std::size_t page_size = 1024;
    using Page = std::array<Number, page_size>;

    Number* find(int fd, bool makes) {
        const auto at = static_cast<std::size_t>(fd);
        if (at >= limits::ledger_descriptors_max) {
            return nullptr;
        }
        std::atomic<Page*>& page = pages_[at / page_size];
        Page* found = page.load(std::memory_order_acquire);
        if (found == nullptr && makes) {
            const std::lock_guard guard(mutex_);
            found = page.load(std::memory_order_acquire);
            if (found == nullptr) {
                found = new Page{};
                page.store(found, std::memory_order_release);
            }
        }
        return found != nullptr ? &(*found)[at % page_size] : nullptr;
    }

    std::uint16_t number_of(std::uint16_t slot, const void* place, std::string_view task) {
        // A thread opens most of its descriptors at few places.
        struct Recent {
            const Maker* maker = nullptr;
            std::uint16_t number = 0;
        };
        thread_local constinit std::array<Recent, 8> recent{};
        const auto hash = reinterpret_cast<std::uintptr_t>(place) / alignof(std::max_align_t);
        Recent& last = recent[hash % recent.size()];
        if (last.maker != nullptr && last.maker->place == place && last.maker->slot == slot &&
            last.maker->task == task) {
            return last.number;
        }
        Maker maker{.slot = slot, .place = place, .task = std::string(task)};
        const std::lock_guard guard(mutex_);
        if (makers_.size() == limits::ledger_makers_max && !numbers_.contains(maker)) {
            return 0;
        }
        const auto number = static_cast<std::uint16_t>(makers_.size() + 1);
        const auto [found, added] = numbers_.try_emplace(std::move(maker), number);
        if (added) {
            makers_.push_back(&found->first);
        }
        last = {.maker = &found->first, .number = found->second};
        return found->second;
    }

    std::array<std::atomic<Page*>, limits::ledger_descriptors_max / page_size> pages_{};
    std::mutex mutex_;
    std::map<Maker, std::uint16_t> numbers_;
    std::vector<const Maker*> makers_; ///< by number, from 1
};

Openings& openings() noexcept {
    // Never destroyed, as the book.
    // NOLINTNEXTLINE(bugprone-unhandled-exception-at-new): without memory the process ends
    static Openings& openings = *new Openings;
    return openings;
}

Book& book() noexcept {
    // Never destroyed: descriptors of static objects are closed after everything else.
    // NOLINTNEXTLINE(bugprone-unhandled-exception-at-new): without memory the process ends
    static Book& book = *new Book;
    return book;
}

Origin origin_here(std::string place = {}) {
    Origin origin;
    origin.place = std::move(place);
    if (const TaskRecord* task = TaskRecord::current()) {
        origin.executor = &task->executor();
        origin.task = task->id();
        origin.task_name = task->name();
    }
    return origin;
}

/// Of an await that has just ended: its frame and those around it are there.
Origin origin_of(const PromiseBase& promise) {
    Origin origin = origin_here(place_of(promise.where));
    for (const PromiseBase* outer = promise.outer();
         outer != nullptr && origin.chain.size() < limits::await_chain_max;
         outer = outer->outer()) {
        origin.chain.push_back(place_of(outer->where));
    }
    return origin;
}

std::string counted(std::size_t count, std::string_view noun) {
    return std::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

/// The promise of a coroutine's frame.
const PromiseBase& promise_of(const void* frame) noexcept {
    constexpr std::size_t frame_head_bytes = 2 * sizeof(void*); // resume and destroy
    return *reinterpret_cast<const PromiseBase*>(
        static_cast<const std::byte*>(frame) + frame_head_bytes
    );
}

std::string frame_text(const void* memory, const Frame& frame) {
    if (frame.use == FrameUse::task) {
        const auto& record = *static_cast<const TaskRecord*>(memory);
        return std::format(
            "task {} \"{}\" ({}){}{}",
            record.id(),
            record.name(),
            record.is_finished() ? "has ended, but a Future or TaskRef keeps it" : "lives",
            frame.origin.executor != nullptr ? ", started" : "",
            frame.origin.text()
        );
    }
    const PromiseBase& promise = promise_of(memory);
    const std::string_view function = promise.where.function_name();
    // g++ calls the body of a coroutine that runs by a name nobody would know.
    const bool readable = !function.empty() && !function.contains(".Frame");
    return std::format(
        "frame of {}{}{}{}",
        readable ? std::format("{}, ", function) : "the coroutine at ",
        place_of(promise.where),
        frame.origin.executor != nullptr ? ", made" : "",
        frame.origin.text()
    );
}

Lines task_lines(const Executor& executor) {
    Lines lines;
    for (const TaskInfo& task : executor.tasks()) {
        std::string line = std::format("task {} \"{}\" lives, {}", task.id, task.name, task.state);
        for (const std::string& place : task.chain) {
            line += std::format("\n      at {}", place);
        }
        lines.push_back(std::move(line));
    }
    return lines;
}

/// Frames and records of tasks that have ended.
Lines frame_lines(const Executor& executor, FrameUse use) {
    Lines lines;
    const std::lock_guard guard(book().mutex);
    for (const auto& [memory, frame] : book().frames) {
        const bool lives =
            frame.use == FrameUse::task && !static_cast<const TaskRecord*>(memory)->is_finished();
        if (frame.origin.executor == &executor && frame.use == use && !lives) {
            lines.push_back(frame_text(memory, frame));
        }
    }
    return lines;
}

/// Whether it points to the program's instructions, as the first word of a coroutine's frame does.
bool is_code(const void* address) {
    const auto at = reinterpret_cast<std::uintptr_t>(address);
    const auto holds = [](dl_phdr_info* object, std::size_t /*size*/, void* wanted) {
        const auto sought = *static_cast<const std::uintptr_t*>(wanted) - object->dlpi_addr;
        const std::span headers(object->dlpi_phdr, object->dlpi_phnum);
        return std::ranges::any_of(
                   headers,
                   [sought](const ElfW(Phdr) & header) {
                       return header.p_type == PT_LOAD && (header.p_flags & PF_X) != 0 &&
                              sought - header.p_vaddr < header.p_memsz;
                   }
               )
                   ? 1
                   : 0;
    };
    auto wanted = at;
    return ::dl_iterate_phdr(holds, &wanted) != 0;
}

/// What is left in the pool of this thread, which has made all there is: coroutines' frames, and
/// records of tasks that have ended. Without a trace.
struct LiveFrames {
    Lines tasks;
    Lines frames;
};

LiveFrames live_frames(const Executor& executor) {
    std::vector<const void*> kept = frame_pool.kept();
    std::ranges::sort(kept);
    LiveFrames live;
    for (const std::span<const std::byte> memory : FrameStore::taken()) {
        const void* const frame = memory.data();
        if (std::ranges::binary_search(kept, frame)) {
            continue;
        }
        {
            const std::lock_guard guard(book().mutex);
            const bool enough =
                live.tasks.size() + live.frames.size() == limits::ledger_frames_told_max;
            if (enough || !book().told.insert(frame).second) {
                continue;
            }
        }
        if (is_code(*static_cast<const void* const*>(frame))) {
            live.frames.push_back(frame_text(frame, {.use = FrameUse::coroutine, .origin = {}}));
        } else if (memory.size() >= sizeof(TaskRecord) &&
                   &static_cast<const TaskRecord*>(frame)->executor() == &executor) {
            live.tasks.push_back(frame_text(frame, {.use = FrameUse::task, .origin = {}}));
        }
    }
    return live;
}

Lines descriptor_lines(const Executor& executor, std::uint16_t slot) {
    if (!Ledger::traces()) {
        return openings().of_slot(slot);
    }
    Lines lines;
    const std::lock_guard guard(book().mutex);
    for (const auto& [fd, origin] : book().descriptors) {
        if (origin.executor == &executor) {
            lines.push_back(std::format("descriptor {}, opened{}", fd, origin.text()));
        }
    }
    return lines;
}

/// Chunks that are not back, and pools that would outlive their worker; and how many of each.
struct PoolLeaks {
    Lines lines;
    std::size_t chunks = 0;
    std::size_t pools = 0;
};

PoolLeaks pool_leaks(const Executor& executor) {
    std::vector<std::pair<const BufferPool*, std::string>> pools;
    {
        const std::lock_guard guard(book().mutex);
        for (const auto& [pool, owner] : book().pools) {
            if (owner.executor == &executor) {
                pools.emplace_back(pool, owner.text());
            }
        }
    }
    PoolLeaks leaks;
    for (const auto& [pool, made] : pools) {
        ++leaks.pools;
        leaks.chunks += pool->stats().held;
        leaks.lines.push_back(std::format(
            "buffer pool of {} x {} bytes lives, {} held, made{}",
            pool->stats().buffers,
            pool->buffer_bytes(),
            counted(pool->stats().held, "buffer"),
            made
        ));
        std::ranges::move(Ledger::chunks_of(*pool), std::back_inserter(leaks.lines));
    }
    return leaks;
}

/// A count for the headline.
void add(std::string& head, std::size_t count, std::string_view noun) {
    if (count != 0) {
        head += (head.empty() ? "" : ", ") + counted(count, noun);
    }
}

} // namespace

Outcome<LeakPolicy> LeakPolicy::parse(const char* words) {
    LeakPolicy policy;
    std::string_view rest = words != nullptr ? words : "";
    while (!rest.empty()) {
        const std::string_view word = rest.substr(0, rest.find(','));
        rest.remove_prefix(std::min(rest.size(), word.size() + 1));
        if (word == "off") {
            policy.action = LeakAction::off;
        } else if (word == "report") {
            policy.action = LeakAction::report;
        } else if (word == "fatal") {
            policy.action = LeakAction::fatal;
        } else if (word == "trace") {
            policy.trace = true;
        } else {
            return fail(
                CoreError::invalid_argument,
                std::format("ZSYNC_LEAKS has \"{}\": it may list off, report, fatal, trace", word)
            );
        }
    }
    return policy;
}

Outcome<LeakPolicy> LeakPolicy::from_environment() { return parse(::secure_getenv("ZSYNC_LEAKS")); }

void Ledger::set(LeakPolicy policy) noexcept {
    const std::lock_guard guard(book().mutex);
    book().policy = policy;
    traces_.store(policy.trace, std::memory_order_relaxed);
}

LeakPolicy Ledger::policy() noexcept {
    const std::lock_guard guard(book().mutex);
    std::optional<LeakPolicy>& policy = book().policy;
    if (!policy) {
        // `Worker::create` refuses a wrong word; who makes another executor is told here.
        const Outcome<LeakPolicy> read = LeakPolicy::from_environment();
        if (!read) {
            (void)std::fprintf(stderr, "zsync: %s\n", read.error().message().c_str());
        }
        policy = read.value_or(LeakPolicy{});
        traces_.store(policy->trace, std::memory_order_relaxed);
    }
    return *policy;
}

void Ledger::open(Executor& executor, Account& account) noexcept {
    (void)policy();
    if (executor.next_executor_ != nullptr) {
        had_several.store(true, std::memory_order_relaxed);
    }
    if (traces()) {
        frame_pool.clear();
    }
    account.thread = &frame_pool;
    account.frames_before = static_cast<std::int64_t>(frame_pool_stats().live);
    const std::lock_guard guard(book().mutex);
    auto& taken = book().slot_taken;
    // One with descriptors left is not given to another, who would be blamed.
    for (std::size_t slot = 1; slot < taken.size() && account.slot == 0; ++slot) {
        if (!taken[slot] && descriptors[slot].load(std::memory_order_relaxed) == 0) {
            taken[slot] = true;
            account.slot = static_cast<std::uint16_t>(slot);
        }
    }
}

void Ledger::close(Account& account) noexcept {
    const std::lock_guard guard(book().mutex);
    book().slot_taken[account.slot] = false;
}

void Ledger::settle(
    Executor& executor, std::string_view kind, const std::vector<std::string>& requests
) {
    const LeakPolicy policy = Ledger::policy();
    if (policy.action == LeakAction::off) {
        return;
    }
    const Account& account = executor.account_;
    const Lines tasks = task_lines(executor);
    Lines ended = frame_lines(executor, FrameUse::task);
    Lines frames = frame_lines(executor, FrameUse::coroutine);
    const PoolLeaks pools = pool_leaks(executor);
    const Lines open = descriptor_lines(executor, account.slot);
    const std::int64_t open_count =
        account.slot != 0 ? descriptors[account.slot].load(std::memory_order_relaxed) : 0;
    // Without a trace nobody knows whose a frame is, and one may be freed by another thread than it
    // was made on: only a worker that never had company can tell, on its own thread.
    std::int64_t frame_count = static_cast<std::int64_t>(frames.size());
    const bool alone = kind == "worker" && !had_several.load(std::memory_order_relaxed);
    if (!policy.trace && alone && account.thread == &frame_pool && tasks.empty()) {
        const auto live = static_cast<std::int64_t>(frame_pool_stats().live);
        // A stream's is told as its request.
        const auto told = static_cast<std::int64_t>(requests.size());
        frame_count = std::max<std::int64_t>(live - account.frames_before - told, 0);
        if (frame_count != 0) {
            LiveFrames found = live_frames(executor);
            ended = std::move(found.tasks);
            frames = std::move(found.frames);
            frame_count = std::max<std::int64_t>(frame_count - std::ssize(ended), 0);
        }
    }
    std::string head;
    add(head, tasks.size() + ended.size(), "task");
    add(head, requests.size(), "operation");
    add(head, pools.chunks, "buffer");
    add(head, pools.pools, "buffer pool");
    add(head, static_cast<std::size_t>(std::max<std::int64_t>(open_count, 0)), "descriptor");
    add(head, static_cast<std::size_t>(frame_count), "frame");
    if (head.empty()) {
        return;
    }
    std::string text = std::format("zsync: a {} ends and leaves {}\n", kind, head);
    const std::array<const Lines*, 6> all{&tasks, &ended, &requests, &pools.lines, &open, &frames};
    for (const Lines* lines : all) {
        for (const std::string& line : *lines) {
            text += std::format("  {}\n", line);
        }
    }
    if (!policy.trace) {
        text += "  ZSYNC_LEAKS=trace tells more of where each was made\n";
    }
    if (policy.action == LeakAction::fatal) {
        text += "zsync: ZSYNC_LEAKS makes that fatal\n";
    }
    (void)std::fputs(text.c_str(), stderr);
    (void)std::fflush(stderr);
    if (policy.action == LeakAction::fatal) {
        std::abort();
    }
}

void Ledger::frame_made(const void* frame, FrameUse use) noexcept {
    Origin origin = origin_here();
    const std::lock_guard guard(book().mutex);
    book().frames.insert_or_assign(frame, Frame{.use = use, .origin = std::move(origin)});
}

void Ledger::frame_freed(const void* frame) noexcept {
    const std::lock_guard guard(book().mutex);
    book().frames.erase(frame);
}

void Ledger::task_made(const TaskRecord& task, const std::source_location& made) noexcept {
    const std::lock_guard guard(book().mutex);
    if (const auto found = book().frames.find(&task); found != book().frames.end()) {
        found->second.use = FrameUse::task;
        found->second.origin.executor = &task.executor();
        found->second.origin.place = place_of(made);
    }
}

void Ledger::chain_of_descriptor(int fd, const PromiseBase& promise) noexcept {
    Origin origin = origin_of(promise);
    const std::lock_guard guard(book().mutex);
    book().descriptors.insert_or_assign(fd, std::move(origin));
}

void Ledger::chunk_taken(const std::byte* buffer, const PromiseBase& promise) noexcept {
    Origin origin = origin_of(promise);
    const std::lock_guard guard(book().mutex);
    book().chunks.insert_or_assign(buffer, std::move(origin));
}

void Ledger::chunk_returned(const std::byte* buffer) noexcept {
    const std::lock_guard guard(book().mutex);
    book().chunks.erase(buffer);
}

void Ledger::request_made(const void* request, const std::source_location& made) noexcept {
    Origin origin = origin_here(place_of(made));
    const std::lock_guard guard(book().mutex);
    book().requests.insert_or_assign(request, std::move(origin));
}

void Ledger::request_ended(const void* request) noexcept {
    const std::lock_guard guard(book().mutex);
    book().requests.erase(request);
}

void Ledger::pool_made(
    BufferPool& pool, const Executor& executor, const std::source_location& made
) noexcept {
    Origin origin = origin_here(place_of(made));
    origin.executor = &executor;
    const std::lock_guard guard(book().mutex);
    book().pools.emplace(&pool, std::move(origin));
}

void Ledger::pool_ended(const BufferPool& pool) noexcept {
    const std::lock_guard guard(book().mutex);
    book().pools.erase(&pool);
}

HeldChunks Ledger::held_chunks(const Executor& executor) {
    HeldChunks by_task;
    const std::lock_guard guard(book().mutex);
    for (const auto& [pool, owner] : book().pools) {
        if (owner.executor == &executor) {
            pool->count_held(by_task);
        }
    }
    return by_task;
}

std::vector<std::string> Ledger::chunks_of(const BufferPool& pool) {
    Lines lines;
    const std::uint32_t held = pool.stats().held;
    if (const std::string streams = pool.streams_made("");
        !traces() && held != 0 && streams != "") {
        lines.push_back(std::format("{}, of {}", counted(held, "buffer"), streams));
    }
    const std::lock_guard guard(book().mutex);
    for (std::uint32_t index = 0; index < pool.stats().buffers; ++index) {
        const auto found = book().chunks.find(pool.buffer(static_cast<std::uint16_t>(index)));
        if (found != book().chunks.end()) {
            lines.push_back(std::format("buffer {}, received{}", index, found->second.text()));
        }
    }
    return lines;
}

std::string Ledger::made(const void* request) {
    const std::lock_guard guard(book().mutex);
    const auto found = book().requests.find(request);
    return found != book().requests.end() ? std::format(", made{}", found->second.text())
                                          : std::string();
}

std::string Ledger::opened(int fd) {
    const Maker* maker = openings().of(fd);
    return maker != nullptr ? ", opened" + maker->text() : "";
}

std::string Ledger::stream(std::string_view kind, int fd, std::string_view made) {
    return std::format(
        "{} of descriptor {}{}{}{}",
        kind,
        fd,
        opened(fd),
        traces() || made.empty() ? "" : ", made at ",
        traces() ? "" : made
    );
}

std::uint16_t Fd::enter(int fd, const std::source_location& made) noexcept {
    const TaskRecord* task = TaskRecord::current();
    if (task == nullptr) {
        return 0;
    }
    const std::uint16_t slot = task->executor().account().slot;
    if (slot == 0) {
        return 0;
    }
    descriptors[slot].fetch_add(1, std::memory_order_relaxed);
    openings().add(fd, slot, made, task->name());
    if (Ledger::traces()) [[unlikely]] {
        Origin origin = origin_here(place_of(made));
        const std::lock_guard guard(book().mutex);
        book().descriptors.insert_or_assign(fd, std::move(origin));
    }
    return slot;
}

void Fd::strike(int fd, std::uint16_t slot) noexcept {
    descriptors[slot].fetch_sub(1, std::memory_order_relaxed);
    openings().remove(fd);
    if (Ledger::traces()) [[unlikely]] {
        const std::lock_guard guard(book().mutex);
        book().descriptors.erase(fd);
    }
}

} // namespace zsync
