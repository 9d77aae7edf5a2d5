// Memory that a ring knows, for sends without a copy.
#include "models.hpp"

#include <zsync/core/limits.hpp>
#include <zsync/core/pinned_memory.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <memory>
#include <vector>

using namespace zsync;

namespace {

SocketAddress loopback() {
    SocketAddress address;
    auto& in = reinterpret_cast<sockaddr_in&>(address.storage);
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.length = sizeof in;
    return address;
}

SocketAddress name_of(const Fd& socket) {
    SocketAddress address;
    address.length = sizeof address.storage;
    auto* generic = reinterpret_cast<sockaddr*>(&address.storage);
    EXPECT_EQ(::getsockname(socket.get(), generic, &address.length), 0);
    return address;
}

class PinnedMemoryTest : public ModelTest {};
INSTANTIATE_TEST_SUITE_P(Models, PinnedMemoryTest, concurrent_models(), model_name);

} // namespace

TEST_P(PinnedMemoryTest, is_sent_and_is_memory_like_any_other_past_its_limit) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            std::vector<std::unique_ptr<PinnedMemory>> memories;
            for (unsigned n = 0; n <= limits::pinned_memories_max; ++n) {
                ZCO_TRY(memories.emplace_back(), PinnedMemory::create(io, 4096));
            }
            EXPECT_FALSE(memories.back()->is_pinned());
            const bool has_pinned = memories.front()->is_pinned();
            memories.erase(memories.begin() + 1);
            ZCO_TRY(memories.emplace_back(), PinnedMemory::create(io, 4096));
            // In the place of the one that went.
            EXPECT_EQ(memories.back()->is_pinned(), has_pinned);
            ZCO_TRY(const Fd listener, co_await io.socket(AF_INET, SOCK_STREAM));
            ZCO_CHECK(co_await io.bind(listener, loopback()));
            ZCO_CHECK(co_await io.listen(listener, 8));
            ZCO_TRY(const Fd client, co_await io.socket(AF_INET, SOCK_STREAM));
            ZCO_CHECK(co_await io.connect(client, name_of(listener)));
            ZCO_TRY(const Fd server, co_await io.accept(listener));
            for (const auto& memory : memories) {
                memory->bytes()[100] = std::byte{42};
                const auto sent = co_await io.send_zero_copy(client, memory->part(100, 10));
                EXPECT_EQ(sent.count, 10U);
                auto [count, got] = co_await io.recv(server, Bytes(16));
                EXPECT_EQ(count, 10U);
                EXPECT_EQ(got.data()[0], std::byte{42});
                EXPECT_EQ((co_await io.send(client, memory->part(100, 1))).count, 1U);
                EXPECT_EQ((co_await io.recv(server, Bytes(1))).count, 1U);
            }
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}
