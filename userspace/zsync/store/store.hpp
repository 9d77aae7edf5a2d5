// Store: small named documents on disk that survive crashes, power cuts and full disks.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/result.hpp>
#include <zsync/store/error.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace zsync::store {

struct Document {
    std::string name;
    std::string content;
};

/// All that a store holds, and what was found damaged on the way.
struct Contents {
    std::vector<Document> documents; ///< by name
    std::vector<Fault> damaged;
};

/// The system calls that change or secure a document, in the order `put` makes them.
enum class Step : std::uint8_t { create, write, sync, rename, sync_directory, remove };

/// Asked before each step: 0 lets it happen, an errno makes it fail. Tests inject full disks and
/// crashes here; a daemon leaves it out.
using StepHook = std::function<int(Step)>;

/// Documents in one directory. Each call is atomic and durable when it returns: after a crash at
/// any point a reader finds the old document or the new one, whole, and never a mixture.
///
/// Calls block on the disk; a daemon makes them on an offload thread. One process at a time has a
/// store, and one call at a time is made on it.
///
/// Names are what `is_document_name` takes. Files are created 0600. Symbolic links are never
/// followed below the directory (openat2, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS).
class Store {
public:
    /// Opens an existing directory and removes what an interrupted `put` left in it. A missing
    /// directory is an error, not created: its owner and mode are the unit's to decide.
    static Outcome<Store> open(const std::string& directory, StepHook hook = {});

    /// Replaces or creates a document. Fails with the old one untouched.
    Outcome<void> put(std::string_view name, std::string_view content);

    /// A document's content. A damaged one is set aside and `StoreError::damaged` says where.
    Outcome<std::string> get(std::string_view name);

    /// Removes a document; one that is not there is removed already.
    Outcome<void> erase(std::string_view name);

    /// The names of all documents, sorted.
    [[nodiscard]] Outcome<std::vector<std::string>> list() const;

    /// Every document. One that is damaged or cannot be read never hides the others.
    Outcome<Contents> read_all();

    /// Renames a document to `NAME.corrupt-TIME`, where a person can look at it and the store no
    /// longer does; `why` goes into the fault, which is always one. For owners who find that a
    /// document is whole but means nothing.
    [[nodiscard]] Fault set_aside(std::string_view name, std::string_view why);

    [[nodiscard]] const std::string& directory() const { return path_; }

private:
    Store(std::string path, Fd directory, StepHook hook)
        : path_(std::move(path)), directory_(std::move(directory)), hook_(std::move(hook)) {}

    [[nodiscard]] bool allows(Step step) const;
    [[nodiscard]] std::unexpected<Fault> cannot(std::string_view what, std::string_view name) const;
    Outcome<void> write_temporary(std::string_view name, std::string_view content);
    Outcome<void> sync_directory(std::string_view name);
    void remove_temporaries() const;
    void forget_oldest_aside(std::string_view name) const;
    [[nodiscard]] Outcome<std::vector<std::string>> entries() const;

    std::string path_;
    Fd directory_;
    StepHook hook_;
};

/// 1 to `name_bytes_max` bytes of letters, digits and `. _ % @ -`, the first a letter or digit, and
/// not one that the store uses itself (`X.corrupt-Y`).
[[nodiscard]] bool is_document_name(std::string_view name);

} // namespace zsync::store
