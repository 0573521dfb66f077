// What can go wrong, as the user sees it: one sentence and an exit code.
//
//   throw Error(ErrorKind::bad_input, "config.json: text_config.head_dim is 0, expected 1 or more");
#pragma once

#include <stdexcept>
#include <string>

namespace q3vl {

/// The kinds of failure; the value is the process's exit code (0 is success).
enum class ErrorKind {
  internal = 1,       ///< a defect of this program, or too little memory or too few open files for it
  usage = 2,          ///< the command line or a recipe asks for something that cannot be
  bad_input = 3,      ///< the checkpoint is damaged, incomplete or contradicts itself
  unsupported = 4,    ///< the checkpoint is sound, but not what this program exports
  output = 5,         ///< the package cannot be written: folder, permissions, disk
  verification = 6,   ///< a package is not what its checkpoint and recipe make
  interrupted = 130,  ///< SIGINT or SIGTERM arrived
};

/// A failure with a message that a user can act on: what, where, found, expected, likely cause.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }
  int exit_code() const { return static_cast<int>(kind_); }

 private:
  ErrorKind kind_;
};

}  // namespace q3vl
