// Codec: one C++ type, its D-Bus signature, and how it gets into and out of a message.
//
//     bool, uint8/16/32/64, int16/32/64, double   b y q u t n i x d
//     std::string  ObjectPath  Fd  Variant        s o h v
//     std::vector<T>                              aT
//     std::map<K, V>  Options                     a{KV}  a{sv}
//     std::tuple<T...>, structs with bus_fields   (T...)
//
// A struct of one's own says its fields in order:
//
//     struct Feature {
//         std::string name;
//         bool available = false;
//         static constexpr auto bus_fields = std::tuple{&Feature::name, &Feature::available};
//     };
#pragma once

#include <zsync/bus/limits.hpp>
#include <zsync/bus/message.hpp>
#include <zsync/bus/signature.hpp>
#include <zsync/bus/types.hpp>
#include <zsync/core/fd.hpp>

#include <cerrno>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace zsync::bus {

/// A message being read, with the bytes that may still be taken from it. Functions here return
/// sd-bus's numbers: negative errno, 0 at an end, positive otherwise; -EMSGSIZE is a spent budget.
struct Reader {
    sd_bus_message* message = nullptr;
    std::size_t bytes_left = limits::message_bytes_max;

    [[nodiscard]] int spend(std::size_t bytes) noexcept {
        if (bytes > bytes_left) {
            return -EMSGSIZE;
        }
        bytes_left -= bytes;
        return 1;
    }
};

template <class T> struct Codec;

template <class T> inline constexpr auto signature_of = Codec<T>::signature;

/// Fixed-size types whose C++ form is what sd-bus reads and writes.
template <class T, char Code> struct NumberCodec {
    static constexpr FixedString<1> signature{{Code, '\0'}};
    static int append(sd_bus_message* message, const T& value) {
        return sd_bus_message_append_basic(message, Code, &value);
    }
    static int read(Reader& reader, T& value) {
        const int spent = reader.spend(sizeof(T));
        return spent < 0 ? spent : sd_bus_message_read_basic(reader.message, Code, &value);
    }
};
template <> struct Codec<std::uint8_t> : NumberCodec<std::uint8_t, 'y'> {};
template <> struct Codec<std::int16_t> : NumberCodec<std::int16_t, 'n'> {};
template <> struct Codec<std::uint16_t> : NumberCodec<std::uint16_t, 'q'> {};
template <> struct Codec<std::int32_t> : NumberCodec<std::int32_t, 'i'> {};
template <> struct Codec<std::uint32_t> : NumberCodec<std::uint32_t, 'u'> {};
template <> struct Codec<std::int64_t> : NumberCodec<std::int64_t, 'x'> {};
template <> struct Codec<std::uint64_t> : NumberCodec<std::uint64_t, 't'> {};
template <> struct Codec<double> : NumberCodec<double, 'd'> {};

template <> struct Codec<bool> {
    static constexpr FixedString signature{"b"};
    static int append(sd_bus_message* message, bool value);
    static int read(Reader& reader, bool& value);
};
template <> struct Codec<std::string> {
    static constexpr FixedString signature{"s"};
    /// Bytes that are not UTF-8 are sent as `?`.
    static int append(sd_bus_message* message, const std::string& value);
    static int read(Reader& reader, std::string& value);
};
template <> struct Codec<ObjectPath> {
    static constexpr FixedString signature{"o"};
    static int append(sd_bus_message* message, const ObjectPath& value);
    static int read(Reader& reader, ObjectPath& value);
};
template <> struct Codec<Fd> {
    static constexpr FixedString signature{"h"};
    static int append(sd_bus_message* message, const Fd& value);
    static int read(Reader& reader, Fd& value);
};
template <> struct Codec<Variant> {
    static constexpr FixedString signature{"v"};
    static int append(sd_bus_message* message, const Variant& value);
    static int read(Reader& reader, Variant& value);
};

template <class T> struct Codec<std::vector<T>> {
    static constexpr auto signature = FixedString{"a"} + signature_of<T>;
    static int append(sd_bus_message* message, const std::vector<T>& values) {
        int result = sd_bus_message_open_container(message, 'a', signature_of<T>.c_str());
        for (auto value = values.begin(); result >= 0 && value != values.end(); ++value) {
            result = Codec<T>::append(message, *value);
        }
        return result < 0 ? result : sd_bus_message_close_container(message);
    }
    static int read(Reader& reader, std::vector<T>& values) {
        int result = sd_bus_message_enter_container(reader.message, 'a', signature_of<T>.c_str());
        while (result >= 0 && (result = sd_bus_message_at_end(reader.message, 0)) == 0) {
            T value{};
            result = Codec<T>::read(reader, value);
            if (result >= 0) {
                result = reader.spend(sizeof(void*));
                values.push_back(std::move(value));
            }
        }
        return result < 0 ? result : sd_bus_message_exit_container(reader.message);
    }
};

template <class K, class V> struct Codec<std::map<K, V>> {
    static constexpr auto entry_signature = signature_of<K> + signature_of<V>;
    static constexpr auto signature = FixedString{"a{"} + entry_signature + FixedString{"}"};
    static constexpr auto element_signature = FixedString{"{"} + entry_signature + FixedString{"}"};

    static int append(sd_bus_message* message, const std::map<K, V>& values) {
        int result = sd_bus_message_open_container(message, 'a', element_signature.c_str());
        for (auto entry = values.begin(); result >= 0 && entry != values.end(); ++entry) {
            result = append_entry(message, entry->first, entry->second);
        }
        return result < 0 ? result : sd_bus_message_close_container(message);
    }
    static int read(Reader& reader, std::map<K, V>& values) {
        int result = sd_bus_message_enter_container(reader.message, 'a', element_signature.c_str());
        while (result >= 0 && (result = sd_bus_message_at_end(reader.message, 0)) == 0) {
            result = read_entry(reader, values);
        }
        return result < 0 ? result : sd_bus_message_exit_container(reader.message);
    }

private:
    static int append_entry(sd_bus_message* message, const K& key, const V& value) {
        int result = sd_bus_message_open_container(message, 'e', entry_signature.c_str());
        result = result < 0 ? result : Codec<K>::append(message, key);
        result = result < 0 ? result : Codec<V>::append(message, value);
        return result < 0 ? result : sd_bus_message_close_container(message);
    }
    static int read_entry(Reader& reader, std::map<K, V>& values) {
        K key{};
        V value{};
        int result = sd_bus_message_enter_container(reader.message, 'e', entry_signature.c_str());
        result = result < 0 ? result : Codec<K>::read(reader, key);
        result = result < 0 ? result : Codec<V>::read(reader, value);
        result = result < 0 ? result : reader.spend(sizeof(void*));
        values.insert_or_assign(std::move(key), std::move(value));
        return result < 0 ? result : sd_bus_message_exit_container(reader.message);
    }
};

template <> struct Codec<Options> {
    static constexpr auto signature = signature_of<std::map<std::string, Variant>>;
    static int append(sd_bus_message* message, const Options& options) {
        return Codec<std::map<std::string, Variant>>::append(message, options.values);
    }
    static int read(Reader& reader, Options& options) {
        return Codec<std::map<std::string, Variant>>::read(reader, options.values);
    }
};

/// Values one after another, without a container around them: arguments and results of calls.
template <class... T> struct SequenceCodec {
    static constexpr auto signature = (FixedString<0>{} + ... + signature_of<T>);
    static int append([[maybe_unused]] sd_bus_message* message, const T&... values) {
        int result = 0;
        (void)((result = Codec<T>::append(message, values), result >= 0) && ...);
        return result;
    }
    static int read([[maybe_unused]] Reader& reader, T&... values) {
        int result = 0;
        (void)((result = Codec<T>::read(reader, values), result >= 0) && ...);
        return result;
    }
};

template <class... T> struct Codec<std::tuple<T...>> {
    using Fields = SequenceCodec<T...>;
    static constexpr auto signature = FixedString{"("} + Fields::signature + FixedString{")"};

    static int append(sd_bus_message* message, const std::tuple<T...>& value) {
        int result = sd_bus_message_open_container(message, 'r', Fields::signature.c_str());
        if (result >= 0) {
            result = std::apply(
                [&](const T&... fields) { return Fields::append(message, fields...); }, value
            );
        }
        return result < 0 ? result : sd_bus_message_close_container(message);
    }
    static int read(Reader& reader, std::tuple<T...>& value) {
        int result = sd_bus_message_enter_container(reader.message, 'r', Fields::signature.c_str());
        if (result >= 0) {
            result =
                std::apply([&](T&... fields) { return Fields::read(reader, fields...); }, value);
        }
        return result < 0 ? result : sd_bus_message_exit_container(reader.message);
    }
};

template <class T>
concept Record = requires { T::bus_fields; };

/// The types of a record's fields, and the record taken apart into references to them.
template <Record T> struct RecordFields {
    template <class Member> struct FieldType;
    template <class Field, class Owner> struct FieldType<Field Owner::*> {
        using Type = Field;
    };
    template <class Members> struct OfMembers;
    template <class... Members> struct OfMembers<std::tuple<Members...>> {
        using Tuple = std::tuple<typename FieldType<Members>::Type...>;
        using Sequence = SequenceCodec<typename FieldType<Members>::Type...>;
    };
    using Members = std::remove_const_t<decltype(T::bus_fields)>;
    using Sequence = OfMembers<Members>::Sequence;

    template <class Value, class Use> static int with(Value& value, Use use) {
        return std::apply([&](auto... members) { return use(value.*members...); }, T::bus_fields);
    }
};

template <Record T> struct Codec<T> {
    using Fields = RecordFields<T>::Sequence;
    static constexpr auto signature = FixedString{"("} + Fields::signature + FixedString{")"};

    static int append(sd_bus_message* message, const T& value) {
        int result = sd_bus_message_open_container(message, 'r', Fields::signature.c_str());
        if (result >= 0) {
            result = RecordFields<T>::with(value, [&](const auto&... fields) {
                return Fields::append(message, fields...);
            });
        }
        return result < 0 ? result : sd_bus_message_close_container(message);
    }
    static int read(Reader& reader, T& value) {
        int result = sd_bus_message_enter_container(reader.message, 'r', Fields::signature.c_str());
        if (result >= 0) {
            result = RecordFields<T>::with(value, [&](auto&... fields) {
                return Fields::read(reader, fields...);
            });
        }
        return result < 0 ? result : sd_bus_message_exit_container(reader.message);
    }
};

/// A call's results: none (`void`), several (`std::tuple`, or a record, each field one result), or
/// one of any other type.
template <class R> struct ResultCodec {
    using Value = R;
    static constexpr auto signature = signature_of<R>;
    static int append(sd_bus_message* message, const R& value) {
        return Codec<R>::append(message, value);
    }
    static int read(Reader& reader, R& value) { return Codec<R>::read(reader, value); }
};
template <> struct ResultCodec<void> {
    static constexpr FixedString<0> signature{};
};
template <class... T> struct ResultCodec<std::tuple<T...>> {
    using Value = std::tuple<T...>;
    static constexpr auto signature = SequenceCodec<T...>::signature;
    static int append(sd_bus_message* message, const std::tuple<T...>& value) {
        return std::apply(
            [&](const T&... values) { return SequenceCodec<T...>::append(message, values...); },
            value
        );
    }
    static int read(Reader& reader, std::tuple<T...>& value) {
        return std::apply(
            [&](T&... values) { return SequenceCodec<T...>::read(reader, values...); }, value
        );
    }
};
template <Record T> struct ResultCodec<T> {
    using Value = T;
    using Fields = RecordFields<T>::Sequence;
    static constexpr auto signature = Fields::signature;
    static int append(sd_bus_message* message, const T& value) {
        return RecordFields<T>::with(value, [&](const auto&... fields) {
            return Fields::append(message, fields...);
        });
    }
    static int read(Reader& reader, T& value) {
        return RecordFields<T>::with(value, [&](auto&... fields) {
            return Fields::read(reader, fields...);
        });
    }
};

/// `text` with what is not UTF-8 replaced by `?`, at most `bytes_max` long.
[[nodiscard]] std::string utf8_text(std::string_view text, std::size_t bytes_max);

} // namespace zsync::bus
