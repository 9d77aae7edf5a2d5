// Cgroups for tests, in the unified hierarchy, that go away with the test.
#pragma once

#include <zsync/core/fd.hpp>

#include <functional>
#include <string>
#include <string_view>

namespace zsync::packet::test {

/// A cgroup below this process's own. Removed at the end of its life; what a test that was killed
/// left behind is removed by the next one.
class CgroupRoom {
public:
    CgroupRoom();
    ~CgroupRoom();
    CgroupRoom(const CgroupRoom&) = delete;
    CgroupRoom& operator=(const CgroupRoom&) = delete;

    /// As rules name it.
    [[nodiscard]] const std::string& path() const { return path_; }
    /// Makes a cgroup below it, whose path this is.
    std::string make(std::string_view name);
    void remove(std::string_view name) const;
    /// Does `work` in a cgroup, `path()` or one that was made below: sockets made then are its.
    void inside(const std::string& path, const std::function<void()>& work) const;

private:
    std::string mount_;
    std::string home_;
    std::string path_;
};

} // namespace zsync::packet::test
