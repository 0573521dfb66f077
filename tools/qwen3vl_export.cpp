// The command line; all of it is in commands/.
#include "commands/program.h"

int main(int argc, char** argv) {
  return q3vl::run_program(argc, argv);
}
