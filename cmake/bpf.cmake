# zsync_bpf_skeleton(TARGET NAME [FOLDER]): compile NAME.bpf.c, of bpf/ or of FOLDER, and give TARGET its skeleton as
# <NAME.skel.h>.
find_program(ZSYNC_BPF_CLANG NAMES clang-19 clang REQUIRED)
find_program(ZSYNC_BPF_STRIP NAMES llvm-strip-19 llvm-strip REQUIRED)
find_program(ZSYNC_BPFTOOL NAMES bpftool PATHS /usr/sbin /sbin REQUIRED)

function(zsync_bpf_skeleton target name)
    set(folder ${PROJECT_SOURCE_DIR}/bpf)
    if(ARGC GREATER 2)
        set(folder ${ARGV2})
    endif()
    set(source ${folder}/${name}.bpf.c)
    set(object ${CMAKE_BINARY_DIR}/bpf/${name}.bpf.o)
    set(skeleton ${CMAKE_BINARY_DIR}/bpf/${name}.skel.h)
    file(GLOB headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/bpf/*.h)
    file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/bpf)
    add_custom_command(
        OUTPUT ${skeleton}
        BYPRODUCTS ${object}
        COMMAND ${ZSYNC_BPF_CLANG} -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Werror -Wno-missing-declarations
            -I${PROJECT_SOURCE_DIR} -I/usr/include/${CMAKE_LIBRARY_ARCHITECTURE} -c ${source} -o ${object}
        COMMAND ${ZSYNC_BPF_STRIP} -g ${object}
        COMMAND ${ZSYNC_BPFTOOL} gen skeleton ${object} name ${name} > ${skeleton}
        DEPENDS ${source} ${headers}
        COMMENT "BPF skeleton ${name}"
        VERBATIM
    )
    target_sources(${target} PRIVATE ${skeleton})
    target_include_directories(${target} PRIVATE ${CMAKE_BINARY_DIR}/bpf)
endfunction()
