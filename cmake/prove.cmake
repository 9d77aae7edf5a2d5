# How everything that proves something registers itself: unit tests, pytest files, benchmarks, fuzzers.

# zsync_unit_test(NAME USES subsystem... [LIBRARIES external...] SOURCES file...)
# A GoogleTest binary whose cases each become a ctest test. Needs no privilege and touches nothing outside itself.
# A parameterised case is called by its name and not by its printed parameter, which may be long and differ from run to run.
function(zsync_unit_test name)
    if(NOT ZSYNC_TESTS)
        return()
    endif()
    set(seconds 60)
    if(ZSYNC_SANITIZE)
        set(seconds 300) # a million prefixes are parsed ten times as slowly
    endif()
    cmake_parse_arguments(arg "" "" "USES;LIBRARIES;SOURCES" ${ARGN})
    add_executable(${name} ${arg_SOURCES})
    list(TRANSFORM arg_USES PREPEND zsync::)
    target_link_libraries(${name} PRIVATE ${arg_USES} ${arg_LIBRARIES} GTest::gtest_main)
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
    gtest_discover_tests(${name} NO_PRETTY_VALUES PROPERTIES LABELS unit TIMEOUT ${seconds} DISCOVERY_TIMEOUT 60)
endfunction()

# zsync_sanitized_asio(source...)
# Sources of this folder that include Boost.Asio, of which TSan has to be told what it does not see: tests/asio/sanitized_asio.hpp.
function(zsync_sanitized_asio)
    if(ZSYNC_TESTS AND ZSYNC_SANITIZE MATCHES thread)
        set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS "-include;${PROJECT_SOURCE_DIR}/tests/asio/sanitized_asio.hpp")
    endif()
endfunction()

# zsync_root_test(NAME USES subsystem... [LIBRARIES external...] SOURCES file...)
# The same for tests against the real kernel: they need root, make their own namespaces, and take turns.
function(zsync_root_test name)
    if(NOT ZSYNC_TESTS OR ZSYNC_UNIT_TESTS_ONLY)
        return()
    endif()
    cmake_parse_arguments(arg "" "" "USES;LIBRARIES;SOURCES" ${ARGN})
    add_executable(${name} ${arg_SOURCES})
    list(TRANSFORM arg_USES PREPEND zsync::)
    target_link_libraries(${name} PRIVATE ${arg_USES} ${arg_LIBRARIES} GTest::gtest_main)
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
    gtest_discover_tests(${name} NO_PRETTY_VALUES PROPERTIES LABELS root TIMEOUT 120 RESOURCE_LOCK root DISCOVERY_TIMEOUT 60)
endfunction()

# zsync_pytest(NAME LABEL root|systemd|unit FILE file.py [TIMEOUT seconds] [SERIAL] [ENVIRONMENT VAR=value...])
# A pytest file as one ctest test (skipped where it exits with 77), run inside the session with the built programs first in PATH. Everything but a unit
# test takes turns with its kind unless SERIAL says that it must have the machine for itself.
function(zsync_pytest name)
    if(NOT ZSYNC_TESTS OR ZSYNC_UNIT_TESTS_ONLY)
        return()
    endif()
    cmake_parse_arguments(arg "SERIAL" "LABEL;FILE;TIMEOUT" "ENVIRONMENT" ${ARGN})
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 120)
    endif()
    add_test(
        NAME ${name}
        COMMAND python3 -m pytest -q -rs -p no:cacheprovider --tb=short ${CMAKE_CURRENT_SOURCE_DIR}/${arg_FILE}
    )
    set_tests_properties(${name} PROPERTIES
        LABELS ${arg_LABEL}
        TIMEOUT ${arg_TIMEOUT}
        RUN_SERIAL "${arg_SERIAL}"
        SKIP_RETURN_CODE 77
        ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;PATH=${CMAKE_BINARY_DIR}/bin:$ENV{PATH};${arg_ENVIRONMENT}"
    )
    if(NOT arg_LABEL STREQUAL unit)
        set_tests_properties(${name} PROPERTIES RESOURCE_LOCK ${arg_LABEL})
    endif()
endfunction()

# zsync_bench(NAME [USES subsystem...] [LIBRARIES external...] SOURCES file...)
# zsync_bench(NAME SCRIPT file.py)
# A program that measures ours and a peer in one run and prints one JSON object a line: what, ours, peer, unit, ratio,
# goal, reached. `./dev bench` runs all of them and joins their rows into one table; its FILTER matches FOLDER/NAME, so
# everything under bench/packet/ answers to `./dev bench packet`.
function(zsync_bench name)
    if(NOT ZSYNC_BENCH)
        return()
    endif()
    cmake_parse_arguments(arg "" "SCRIPT" "USES;LIBRARIES;SOURCES" ${ARGN})
    if(arg_SCRIPT)
        set(path ${CMAKE_CURRENT_SOURCE_DIR}/${arg_SCRIPT})
    else()
        add_executable(bench_${name} ${arg_SOURCES})
        list(TRANSFORM arg_USES PREPEND zsync::)
        target_link_libraries(bench_${name} PRIVATE ${arg_USES} ${arg_LIBRARIES})
        target_include_directories(bench_${name} PRIVATE ${PROJECT_SOURCE_DIR})
        set(path ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/bench_${name})
        add_dependencies(benches bench_${name})
    endif()
    cmake_path(RELATIVE_PATH CMAKE_CURRENT_SOURCE_DIR BASE_DIRECTORY ${PROJECT_SOURCE_DIR} OUTPUT_VARIABLE folder)
    set_property(GLOBAL APPEND PROPERTY ZSYNC_BENCHES "${folder}/${name}\t${path}")
endfunction()

# zsync_fuzzer(NAME [USES subsystem...] [LIBRARIES external...] [CORPUS folder] [DICTIONARY file] SOURCES file...)
# A libFuzzer binary, built by the asan preset only. CORPUS has checked-in seeds; what a run finds goes under build/.
function(zsync_fuzzer name)
    if(NOT ZSYNC_FUZZERS)
        return()
    endif()
    cmake_parse_arguments(arg "" "CORPUS;DICTIONARY" "USES;LIBRARIES;SOURCES" ${ARGN})
    add_executable(fuzz_${name} ${arg_SOURCES})
    list(TRANSFORM arg_USES PREPEND zsync::)
    target_link_libraries(fuzz_${name} PRIVATE ${arg_USES} ${arg_LIBRARIES})
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    target_include_directories(fuzz_${name} PRIVATE ${PROJECT_SOURCE_DIR})
    foreach(input CORPUS DICTIONARY)
        if(arg_${input})
            cmake_path(ABSOLUTE_PATH arg_${input} BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
        endif()
    endforeach()
    set_property(GLOBAL APPEND PROPERTY ZSYNC_FUZZER_LIST
        "${name}\t${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/fuzz_${name}\t${arg_CORPUS}\t${arg_DICTIONARY}"
    )
endfunction()

# The lists that scripts/dev/bench.py and fuzz.py read. Called once, when everything has registered.
function(zsync_write_registries)
    foreach(list ZSYNC_BENCHES:benches ZSYNC_FUZZER_LIST:fuzzers)
        string(REPLACE ":" ";" list ${list})
        list(GET list 0 property)
        list(GET list 1 file)
        get_property(lines GLOBAL PROPERTY ${property})
        list(JOIN lines "\n" text)
        file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/${file}.tsv CONTENT "${text}\n")
    endforeach()
endfunction()
