# What Debian asks of the files of a package beyond their places; cpack runs it on them before it packs.
cmake_minimum_required(VERSION 3.22)
file(GLOB_RECURSE pages ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/qwen3vl-export.1)
foreach(page IN LISTS pages)
  execute_process(COMMAND gzip -9n ${page} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
# Debian's zsh looks for those of packages in another folder than others do.
file(GLOB_RECURSE completions ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/_qwen3vl-export)
foreach(completion IN LISTS completions)
  cmake_path(GET completion PARENT_PATH folder)
  cmake_path(GET folder PARENT_PATH zsh)
  file(RENAME ${folder} ${zsh}/vendor-completions)
endforeach()
