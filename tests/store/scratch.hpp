// A directory of this process's own, gone at the end.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <unistd.h>

namespace zsync::store {

class Scratch {
public:
    Scratch() {
        std::string pattern = std::filesystem::temp_directory_path() /
                              ("zsync-store-" + std::to_string(::getpid()) + "-XXXXXX");
        path_ = ::mkdtemp(pattern.data());
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] std::string file(std::string_view name) const {
        return path_ + "/" + std::string(name);
    }

private:
    std::string path_;
};

} // namespace zsync::store
