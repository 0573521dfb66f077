// EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { read_model_config(folder); }), "config.json: ...");
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "qwen3vl_export/error.h"

namespace q3vl {

/// The message with which `action` fails; it must be an Error of `kind`.
template <typename Action>
std::string refusal(ErrorKind kind, Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was refused";
  return "";
}

}  // namespace q3vl
