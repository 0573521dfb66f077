# q3vl_module(NAME [USES modules...] [LIBRARIES libs...] [PRIVATE_LIBRARIES libs...] SOURCES files...)
#
# One static library a folder of src/. A module's headers are reachable as "NAME/header.h" and only
# from modules that list NAME in USES (or reach it through one that does): each module's include path
# is a folder of its own with a single link to its sources, so a wrong include does not compile.
function(q3vl_module name)
  cmake_parse_arguments(M "" "" "USES;LIBRARIES;PRIVATE_LIBRARIES;SOURCES" ${ARGN})
  set(face ${CMAKE_BINARY_DIR}/faces/${name})
  file(MAKE_DIRECTORY ${face})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/src/${name} ${face}/${name} SYMBOLIC)
  list(TRANSFORM M_SOURCES PREPEND ${CMAKE_SOURCE_DIR}/src/${name}/)
  add_library(q3vl_${name} STATIC ${M_SOURCES})
  target_include_directories(q3vl_${name} PUBLIC ${face} ${CMAKE_SOURCE_DIR}/include)
  list(TRANSFORM M_USES PREPEND q3vl_)
  target_link_libraries(q3vl_${name} PUBLIC ${M_USES} ${M_LIBRARIES} PRIVATE ${M_PRIVATE_LIBRARIES})
endfunction()
