# zsync_subsystem(NAME [C_HEADERS] USES tier-below... [LIBRARIES external...] [LINK_OPTIONS option...] SOURCES file...)
# One static library a subsystem. USES is the tier rule made executable: a subsystem links only what it may include.
# C_HEADERS: it has headers for C, and projects in C alone can link it.
function(zsync_subsystem name)
    cmake_parse_arguments(arg "C_HEADERS" "" "USES;LIBRARIES;LINK_OPTIONS;SOURCES" ${ARGN})
    add_library(zsync_${name} STATIC ${arg_SOURCES})
    add_library(zsync::${name} ALIAS zsync_${name})
    target_include_directories(zsync_${name} PUBLIC ${PROJECT_SOURCE_DIR}/userspace)
    set(library ${PROJECT_SOURCE_DIR}/userspace/zsync)
    cmake_path(IS_PREFIX library ${CMAKE_CURRENT_SOURCE_DIR} in_library)
    if(in_library) # parts of a program are libraries too, for its tests, but nobody else's
        zsync_install_subsystem(${name} "${arg_USES}" "${arg_LIBRARIES}" "${arg_LINK_OPTIONS}" "${arg_C_HEADERS}")
    endif()
    list(TRANSFORM arg_USES PREPEND zsync::)
    target_link_libraries(zsync_${name} PUBLIC ${arg_USES} PRIVATE ${arg_LIBRARIES})
    target_link_options(zsync_${name} INTERFACE ${arg_LINK_OPTIONS})
endfunction()
