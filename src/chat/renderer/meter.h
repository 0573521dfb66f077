// Counts what a rendering takes, and ends the process with an answer when it takes too much. An exception could not do
// that: minja catches it, and a destructor cannot throw it.
#pragma once

#include <string_view>

#include "chat/render_protocol.h"

namespace q3vl::meter {

/// Counts from 0 again, the stack from here. `stage` is the answer when a limit is met.
void start(Answer stage);

/// Stops counting.
void stop();

/// Writes an answer to the standard output.
void write(Answer answer, std::string_view text);

}  // namespace q3vl::meter
