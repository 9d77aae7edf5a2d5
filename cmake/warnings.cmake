# Warnings and sanitizers for every target of this project.
add_compile_options(-Wall -Wextra -Werror -Wshadow "$<$<COMPILE_LANGUAGE:CXX>:-Woverloaded-virtual>")
if(CMAKE_CXX_COMPILER_ID STREQUAL Clang)
    # As g++: fields that a designated initialiser leaves out have their defaults, and a local may be named as a member.
    add_compile_options(-Wno-missing-designated-field-initializers -Wno-shadow)
endif()
if(ZSYNC_SANITIZE)
    add_compile_options(-fsanitize=${ZSYNC_SANITIZE} -fno-sanitize-recover=all)
    add_link_options(-fsanitize=${ZSYNC_SANITIZE})
    add_compile_definitions(ZSYNC_SANITIZED=1)
endif()
