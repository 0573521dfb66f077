// The command line; all of it is in commands/.
#include <unistd.h>

#include <cstdio>

#include "commands/program.h"

int main(int argc, char** argv) {
  const int code = q3vl::run_program(argc, argv);
#ifdef __SANITIZE_ADDRESS__
  return code;  // leaks are looked for at exit
#else
  // All is written and closed. The destructors of libraries would join their threads, which may never end when memory
  // is short.
  std::fflush(nullptr);
  ::_exit(code);
#endif
}
