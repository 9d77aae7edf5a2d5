# zsync_man_page(NAME SECTION): docs/man/NAME.SECTION.scd, made by scdoc(1), installed with the service.
find_program(ZSYNC_SCDOC scdoc REQUIRED)

function(zsync_man_page name section)
    set(source ${PROJECT_SOURCE_DIR}/docs/man/${name}.${section}.scd)
    set(page ${CMAKE_BINARY_DIR}/man/${name}.${section})
    # What man(1) reads to know that a page has tables; scdoc leaves it out.
    set(preprocessors ${CMAKE_BINARY_DIR}/man/preprocessors)
    file(WRITE ${preprocessors} "'\\\" t\n")
    # A failing scdoc leaves an empty page behind, which would look up to date.
    add_custom_command(
        OUTPUT ${page}
        COMMAND ${CMAKE_COMMAND} -E cat ${preprocessors} > ${page}.new
        COMMAND ${ZSYNC_SCDOC} < ${source} >> ${page}.new
        COMMAND ${CMAKE_COMMAND} -E rename ${page}.new ${page}
        DEPENDS ${source}
        COMMENT "Manual page ${name}(${section})"
        VERBATIM
    )
    add_custom_target(man_${name}_${section} ALL DEPENDS ${page})
    install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section} COMPONENT zsync)
endfunction()
