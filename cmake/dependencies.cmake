# `tools/setup` installs all of this: Debian 12 packages, and the headers of ONNX Runtime and minja.
find_package(Threads REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(spdlog REQUIRED)
find_package(fmt REQUIRED)
find_package(CLI11 REQUIRED)
find_package(JPEG REQUIRED)
find_package(PNG REQUIRED)
find_package(OpenSSL REQUIRED)  # libcrypto: SHA-256
find_package(ICU REQUIRED COMPONENTS uc i18n)  # normalisation and regular expressions of tokenizers
find_package(Protobuf REQUIRED)
find_package(hwy REQUIRED)  # Highway: kernels for every instruction set, chosen at run time

# LibTorch: its own CMake file drags in every optional back end of the build that made it, so the
# libraries are named here. Only the modules that load or compute with tensors link them.
find_path(TORCH_INCLUDE_DIR ATen/ATen.h REQUIRED)
find_library(TORCH_CPU_LIBRARY torch_cpu REQUIRED)
find_library(C10_LIBRARY c10 REQUIRED)
add_library(q3vl_torch_headers INTERFACE)
target_include_directories(q3vl_torch_headers SYSTEM INTERFACE ${TORCH_INCLUDE_DIR})
add_library(q3vl_torch INTERFACE)
target_link_libraries(q3vl_torch INTERFACE q3vl_torch_headers ${TORCH_CPU_LIBRARY} ${C10_LIBRARY})

# ONNX: the message definitions, the checker and shape inference.
find_path(ONNX_INCLUDE_DIR onnx/onnx_pb.h REQUIRED)
find_library(ONNX_LIBRARY onnx REQUIRED)
find_library(ONNX_PROTO_LIBRARY onnx_proto REQUIRED)
add_library(q3vl_libonnx INTERFACE)
target_include_directories(q3vl_libonnx SYSTEM INTERFACE ${ONNX_INCLUDE_DIR})
target_compile_definitions(q3vl_libonnx INTERFACE ONNX_ML=1 ONNX_NAMESPACE=onnx)
target_link_libraries(q3vl_libonnx INTERFACE ${ONNX_LIBRARY} ${ONNX_PROTO_LIBRARY} protobuf::libprotobuf)

# ONNX Runtime's headers. The library itself is opened at run time, by the commands that run packages.
find_path(Q3VL_ORT_HEADERS onnxruntime_c_api.h
          HINTS ${Q3VL_ONNXRUNTIME_INCLUDE_DIR}
          PATH_SUFFIXES onnxruntime onnxruntime/core/session)
if(NOT Q3VL_ORT_HEADERS)
  message(FATAL_ERROR "ONNX Runtime's headers were not found: run tools/setup, or set Q3VL_ONNXRUNTIME_INCLUDE_DIR")
endif()
add_library(q3vl_ort_headers INTERFACE)
target_include_directories(q3vl_ort_headers SYSTEM INTERFACE ${Q3VL_ORT_HEADERS})

# minja, which renders chat templates: headers alone. It looks for each token in all that is left of a template, only to
# drop what does not stand at the beginning: the square of the time that it needs. The flag that it lacks is put into a
# copy here. Some of its copies include "../nlohmann/json.hpp", beside which they bring one; in the folder of Debian's that
# finds Debian's.
find_path(Q3VL_MINJA_HEADERS minja/minja.hpp HINTS ${Q3VL_MINJA_INCLUDE_DIR})
if(NOT Q3VL_MINJA_HEADERS)
  message(FATAL_ERROR "minja's headers were not found: run tools/setup, or set Q3VL_MINJA_INCLUDE_DIR")
endif()
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${Q3VL_MINJA_HEADERS}/minja/minja.hpp)
file(READ ${Q3VL_MINJA_HEADERS}/minja/minja.hpp minja)
string(REPLACE "std::regex_search(it, end, match, regex) && match.position() == 0"
               "std::regex_search(it, end, match, regex, std::regex_constants::match_continuous)" minja "${minja}")
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/minja/minja.hpp CONTENT "${minja}" @ONLY NEWLINE_STYLE UNIX)
find_path(NLOHMANN_JSON_FOLDER json.hpp PATH_SUFFIXES nlohmann REQUIRED)
add_library(q3vl_minja INTERFACE)
target_include_directories(q3vl_minja SYSTEM INTERFACE ${CMAKE_BINARY_DIR}/generated ${NLOHMANN_JSON_FOLDER})
