#include "sealed_file.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace zsync::zsyncd {

Outcome<Fd> sealed_file(std::string_view text) {
    Fd file(::memfd_create("zsync-report", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    const auto failed = [] {
        const Error error = os_error(errno);
        return fail(error, "cannot keep the report: " + error.message());
    };
    if (!file) {
        return failed();
    }
    while (!text.empty()) {
        const ssize_t written = ::write(file.get(), text.data(), text.size());
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return failed();
        }
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    constexpr int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
    if (::lseek(file.get(), 0, SEEK_SET) < 0 || ::fcntl(file.get(), F_ADD_SEALS, seals) != 0) {
        return failed();
    }
    return file;
}

} // namespace zsync::zsyncd
