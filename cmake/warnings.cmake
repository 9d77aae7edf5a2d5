# Warnings and sanitizers for every target of this project.
add_compile_options(-Wall -Wextra -Werror -Wshadow "$<$<COMPILE_LANGUAGE:CXX>:-Woverloaded-virtual>")
if(CMAKE_CXX_COMPILER_ID STREQUAL Clang)
    # As g++: fields that a designated initialiser leaves out have their defaults, and a local may be named as a member.
    add_compile_options(-Wno-missing-designated-field-initializers -Wno-shadow)
else()
    # g++ would join neighbouring loads and stores of a coroutine's frame into wide ones. A wide load of what two narrow
    # stores have just written waits until both are in the cache: a value through a channel took 6.6 ns, and takes 4.1.
    add_compile_options(-fno-tree-slp-vectorize)
endif()
if(ZSYNC_SANITIZE)
    add_compile_options(-fsanitize=${ZSYNC_SANITIZE} -fno-sanitize-recover=all)
    add_link_options(-fsanitize=${ZSYNC_SANITIZE})
    add_compile_definitions(ZSYNC_SANITIZED=1)
endif()
