# q3vl_module(NAME [USES modules...] [LIBRARIES libs...] [PRIVATE_LIBRARIES libs...] SOURCES files...)
#
# One static library a folder of src/. A module's headers are reachable as "NAME/header.h" and only
# from modules that list NAME in USES (or reach it through one that does): each module's include path
# is a folder of its own with a single link to its sources, so a wrong include does not compile.
# Headers that are large and in most files are compiled once: with LibTorch's (src/CMakeLists.txt), the tests' and the
# tools' they halve the time of a clean build. Every file still includes what it uses.
set(Q3VL_COMMON_HEADERS <nlohmann/json.hpp> <fmt/format.h> <fmt/ranges.h> <algorithm> <filesystem> <functional> <map>
                        <string> <vector>)

# Files of a module are compiled several at a time, which saves reading the headers and making their templates anew for
# each. So what stands in anonymous namespaces has names of its own within a module.
set(CMAKE_UNITY_BUILD_BATCH_SIZE 8)

# Modules that handle memory themselves: all checks of the sanitizers are made there.
set(Q3VL_FULLY_CHECKED base calibration checkpoint image kernels quant runtime data onnx tensors tokenizer)

function(q3vl_module name)
  cmake_parse_arguments(M "" "" "USES;LIBRARIES;PRIVATE_LIBRARIES;SOURCES" ${ARGN})
  set(face ${CMAKE_BINARY_DIR}/faces/${name})
  file(MAKE_DIRECTORY ${face})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/src/${name} ${face}/${name} SYMBOLIC)
  if(NOT M_SOURCES)  # headers alone
    add_library(q3vl_${name} INTERFACE)
    target_include_directories(q3vl_${name} INTERFACE ${face})
    return()
  endif()
  list(TRANSFORM M_SOURCES PREPEND ${CMAKE_SOURCE_DIR}/src/${name}/)
  add_library(q3vl_${name} STATIC ${M_SOURCES})
  # They are the parts of a shared library, whose calls of itself nobody else takes over: those may be inlined.
  set_target_properties(q3vl_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_compile_options(q3vl_${name} PRIVATE -fno-semantic-interposition)
  if(NOT name STREQUAL "kernels")  # whose files Highway includes once more for each set of instructions
    set_target_properties(q3vl_${name} PROPERTIES UNITY_BUILD ${Q3VL_UNITY_BUILD})
  endif()
  target_include_directories(q3vl_${name} PUBLIC ${face} ${CMAKE_SOURCE_DIR}/include)
  if(NOT name IN_LIST Q3VL_FULLY_CHECKED)
    target_compile_options(q3vl_${name} PRIVATE ${Q3VL_FEWER_CHECKS})
  endif()
  list(TRANSFORM M_USES PREPEND q3vl_)
  target_link_libraries(q3vl_${name} PUBLIC ${M_USES} ${M_LIBRARIES} PRIVATE ${M_PRIVATE_LIBRARIES})
  if(NOT "q3vl_torch" IN_LIST M_LIBRARIES AND NOT "q3vl_tensors" IN_LIST M_USES)
    if(name STREQUAL "base")
      target_precompile_headers(q3vl_base PRIVATE ${Q3VL_COMMON_HEADERS})
    else()
      target_precompile_headers(q3vl_${name} REUSE_FROM q3vl_base)
    endif()
  endif()
endfunction()
