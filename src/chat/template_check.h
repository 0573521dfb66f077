// Tries a chat template on the kinds of conversations that clients have, before anybody relies on it.
//
//   for (const std::string& warning : check_chat_template(chat, /*pictures=*/true)) observer.warning(warning);
#pragma once

#include <string>
#include <vector>

#include "chat/chat_template.h"

namespace q3vl {

/// Renders texts and, with `pictures`, one picture, two pictures and a video, with a system message too, and with tools
/// where the template names them. Throws Error(bad_input) for what is no template, for one that fails on a text or on
/// pictures, and for one that does not write exactly one mark for each picture (chat/picture_marks.h). What fails with
/// a system message, tools or a video is returned, in sentences for the user.
std::vector<std::string> check_chat_template(const ChatTemplate& chat, bool pictures);

}  // namespace q3vl
