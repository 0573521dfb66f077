// Renders chat templates in a process of its own, qwen3vl-export-chat, which lies with the library: a template that
// loops without end, fills memory or crashes its renderer ends there, as a sentence here.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "chat/render_protocol.h"

namespace q3vl {

struct RenderAnswer {
  Answer kind;
  std::string text;  ///< what the template makes, or why it makes nothing
};

/// Renders `text` once with each object of `variables`. One answer each, or a single one that is Answer::unreadable.
/// Throws Error(interrupted) soon after request_interrupt(), and Error(internal) when the program is missing or cannot
/// be started.
std::vector<RenderAnswer> render_apart(const std::string& text, const std::vector<OrderedJson>& variables);

}  // namespace q3vl
