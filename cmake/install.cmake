# cmake --install and cpack: docs/INSTALL.md says what is put where.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# Each finds the other wherever the whole is moved.
file(RELATIVE_PATH to_libraries ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
set_target_properties(qwen3vl-export PROPERTIES INSTALL_RPATH "$ORIGIN/${to_libraries}")
install(TARGETS qwen3vl-export RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS qwen3vl_export EXPORT qwen3vl_export LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS qwen3vl-export-c10 qwen3vl-export-torch LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/qwen3vl-export)
install(TARGETS qwen3vl-export-chat RUNTIME DESTINATION ${CMAKE_INSTALL_LIBDIR}/qwen3vl-export)
install(DIRECTORY include/qwen3vl_export DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/qwen3vl_export)
install(EXPORT qwen3vl_export NAMESPACE qwen3vl_export:: FILE qwen3vl_exportConfig.cmake DESTINATION ${package})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/generated/qwen3vl_exportConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/generated/qwen3vl_exportConfigVersion.cmake DESTINATION ${package})

set(manual ${CMAKE_BINARY_DIR}/manual)
install(FILES ${manual}/qwen3vl-export.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${manual}/qwen3vl-export.bash RENAME qwen3vl-export
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${manual}/_qwen3vl-export DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES ${manual}/qwen3vl-export.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
install(DIRECTORY configs/recipes DESTINATION ${CMAKE_INSTALL_DATADIR}/qwen3vl-export FILES_MATCHING PATTERN "*.json")
install(FILES README.md DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/qwen3vl-export)
install(FILES LICENSE RENAME copyright DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/qwen3vl-export)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME qwen3vl-export)
set(CPACK_PACKAGE_CONTACT "qwen3vl-export maintainers <maintainers@qwen3vl-export.invalid>")
set(CPACK_PACKAGE_DESCRIPTION
    "Turns a checkpoint (Hugging Face safetensors) into graphs and an INT4 text
decoder that run, unchanged, in onnxruntime-genai and Transformers.js, and
proves, measures, inspects and runs such packages. With the program come its
library and the headers for C++ programs.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
                                                WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# Libraries of the package that one another need.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${CMAKE_BINARY_DIR})
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY =)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_SOURCE_DIR}/cmake/debian_policy.cmake)
include(CPack)
