# What `cmake --install` puts where, in two components: `zsync` (the service) and `libzsync-dev` (the library).

# Called by zsync_subsystem: the archive, its headers, zsync-NAME.pc, and its entry in zsyncConfig.cmake.
function(zsync_install_subsystem name uses libraries options for_c)
    install(TARGETS zsync_${name} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT libzsync-dev)
    cmake_path(RELATIVE_PATH CMAKE_CURRENT_SOURCE_DIR BASE_DIRECTORY ${PROJECT_SOURCE_DIR}/userspace OUTPUT_VARIABLE folder)
    install(
        DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}/
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/${folder}
        COMPONENT libzsync-dev
        FILES_MATCHING PATTERN "*.hpp" PATTERN "*.h"
    )
    set(modules "")
    set(links "")
    set(threads "")
    foreach(library ${libraries})
        if(library MATCHES "^PkgConfig::(.+)$")
            list(APPEND modules ${${CMAKE_MATCH_1}_MODULE_NAME})
            list(APPEND links PkgConfig::ZSYNC_${${CMAKE_MATCH_1}_MODULE_NAME})
        elseif(library STREQUAL Threads::Threads)
            set(threads " -pthread")
            list(APPEND links Threads::Threads)
        else()
            message(FATAL_ERROR "zsync_${name} links ${library}, which an installed zsync-${name}.pc can't name")
        endif()
    endforeach()
    # Without it, which is g++'s way below -O2, a coroutine that ends goes back to its caller by a call: a loop over coroutines
    # that don't wait would use up the stack.
    set(calls -foptimize-sibling-calls)
    set(features "INTERFACE_COMPILE_FEATURES cxx_std_23
    INTERFACE_COMPILE_OPTIONS \"$<$<COMPILE_LANG_AND_ID:CXX,GNU>:${calls}>\"")
    set(cflags " ${calls}")
    set(runtime "")
    if(for_c)
        # Features of C++ would be an error in a project that has only C; what C++ links, C must be told.
        set(features "IMPORTED_LINK_INTERFACE_LANGUAGES C")
        set(cflags "")
        set(runtime " -lstdc++")
        list(APPEND links stdc++)
    endif()
    set_property(GLOBAL APPEND PROPERTY ZSYNC_INSTALLED_MODULES ${modules})

    list(JOIN options " " options_words)
    list(TRANSFORM uses PREPEND zsync- OUTPUT_VARIABLE requires)
    list(APPEND requires ${modules})
    list(JOIN requires ", " requires)
    set(prefix /prefix)
    cmake_path(RELATIVE_PATH prefix BASE_DIRECTORY ${prefix}/${CMAKE_INSTALL_LIBDIR}/pkgconfig OUTPUT_VARIABLE up)
    file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/zsync-${name}.pc @ONLY CONTENT
"prefix=\${pcfiledir}/@up@
libdir=\${prefix}/@CMAKE_INSTALL_LIBDIR@
includedir=\${prefix}/@CMAKE_INSTALL_INCLUDEDIR@

Name: zsync-@name@
Description: zsync's @name@ library
Version: @PROJECT_VERSION@
Requires: @requires@
Libs: -L\${libdir} -lzsync_@name@@runtime@@threads@ @options_words@
Cflags: -I\${includedir} -I\${includedir}/zsync@cflags@
"
    )
    install(
        FILES ${CMAKE_BINARY_DIR}/zsync-${name}.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
        COMPONENT libzsync-dev
    )

    list(TRANSFORM uses PREPEND zsync:: OUTPUT_VARIABLE targets)
    if(for_c)
        list(TRANSFORM targets PREPEND "$<LINK_ONLY:")
        list(TRANSFORM targets APPEND ">")
    endif()
    set_property(GLOBAL APPEND_STRING PROPERTY ZSYNC_INSTALLED_TARGETS
"add_library(zsync::${name} STATIC IMPORTED)
set_target_properties(zsync::${name} PROPERTIES
    IMPORTED_LOCATION \"\${_zsync_prefix}/${CMAKE_INSTALL_LIBDIR}/libzsync_${name}.a\"
    INTERFACE_INCLUDE_DIRECTORIES \"\${_zsync_prefix}/${CMAKE_INSTALL_INCLUDEDIR};\${_zsync_prefix}/${CMAKE_INSTALL_INCLUDEDIR}/zsync\"
    ${features}
    INTERFACE_LINK_LIBRARIES \"${targets};${links}\"
    INTERFACE_LINK_OPTIONS \"${options}\"
)
set(zsync_${name}_FOUND TRUE)
"
    )
endfunction()

# find_package(zsync), made from what the subsystems registered. Called once, when all have.
function(zsync_install_package)
    include(CMakePackageConfigHelpers)
    get_property(modules GLOBAL PROPERTY ZSYNC_INSTALLED_MODULES)
    list(REMOVE_DUPLICATES modules)
    set(checks "")
    foreach(module ${modules})
        string(APPEND checks "pkg_check_modules(ZSYNC_${module} REQUIRED QUIET IMPORTED_TARGET GLOBAL ${module})\n")
    endforeach()
    get_property(targets GLOBAL PROPERTY ZSYNC_INSTALLED_TARGETS)
    set(folder ${CMAKE_INSTALL_LIBDIR}/cmake/zsync)
    file(WRITE ${CMAKE_BINARY_DIR}/zsyncConfig.cmake.in
"@PACKAGE_INIT@
include(CMakeFindDependencyMacro)
find_dependency(PkgConfig)
find_dependency(Threads)
${checks}if(NOT TARGET zsync::core)
set(_zsync_prefix \"\${PACKAGE_PREFIX_DIR}\")
${targets}unset(_zsync_prefix)
endif()
check_required_components(zsync)
"
    )
    configure_package_config_file(
        ${CMAKE_BINARY_DIR}/zsyncConfig.cmake.in ${CMAKE_BINARY_DIR}/zsyncConfig.cmake
        INSTALL_DESTINATION ${folder}
    )
    write_basic_package_version_file(${CMAKE_BINARY_DIR}/zsyncConfigVersion.cmake COMPATIBILITY SameMinorVersion)
    install(
        FILES ${CMAKE_BINARY_DIR}/zsyncConfig.cmake ${CMAKE_BINARY_DIR}/zsyncConfigVersion.cmake
        DESTINATION ${folder}
        COMPONENT libzsync-dev
    )
    install(
        DIRECTORY ${PROJECT_SOURCE_DIR}/bpf/
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/zsync/bpf
        COMPONENT libzsync-dev
        FILES_MATCHING PATTERN "*.h"
    )
endfunction()

# What makes the programs a system service.
function(zsync_install_service)
    install(DIRECTORY DESTINATION ${CMAKE_INSTALL_FULL_SYSCONFDIR}/zsync COMPONENT zsync)
    install(FILES units/zsyncd.service DESTINATION lib/systemd/system COMPONENT zsync)
    install(FILES units/zsync.sysusers DESTINATION lib/sysusers.d RENAME zsync.conf COMPONENT zsync)
    install(FILES units/zsync.tmpfiles DESTINATION lib/tmpfiles.d RENAME zsync.conf COMPONENT zsync)
    install(FILES dbus/org.zsync1.conf DESTINATION ${CMAKE_INSTALL_DATADIR}/dbus-1/system.d COMPONENT zsync)
    install(FILES dbus/org.zsync1.service DESTINATION ${CMAKE_INSTALL_DATADIR}/dbus-1/system-services COMPONENT zsync)
    install(FILES dbus/org.zsync1.policy DESTINATION ${CMAKE_INSTALL_DATADIR}/polkit-1/actions COMPONENT zsync)
    file(GLOB interfaces CONFIGURE_DEPENDS dbus/*.xml)
    install(FILES ${interfaces} DESTINATION ${CMAKE_INSTALL_DATADIR}/dbus-1/interfaces COMPONENT zsync)
endfunction()
