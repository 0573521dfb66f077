// What Linux tells in files such as /proc/cpuinfo.
#pragma once

#include <string>

namespace q3vl {

/// What stands behind the colon of the first line "key: value" or "key<tabs>: value"; empty when there is none.
std::string proc_value(const char* file, const std::string& key);

/// The model name of the processor; empty where the system does not tell.
std::string processor_name();

}  // namespace q3vl
