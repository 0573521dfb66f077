// The floor that an export is held against: its bytes read and as many as it makes written, and nothing computed.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <thread>

#include "base/file.h"
#include "program.h"
#include "qwen3vl_export/error.h"

namespace {

using namespace q3vl;
namespace fs = std::filesystem;

constexpr std::size_t kBlockBytes = 8U << 20;

/// Bytes below 2^64 of which `done` / `all` are due, without the product's overflow.
std::uint64_t share(std::uint64_t bytes, std::uint64_t done, std::uint64_t all) {
  return done == all ? bytes
                     : static_cast<std::uint64_t>(static_cast<double>(bytes) * static_cast<double>(done) /
                                                  static_cast<double>(all));
}

class Input {
 public:
  explicit Input(const std::vector<fs::path>& paths) {
    for (const fs::path& path : paths) {
      files_.push_back(File::open(path));
      bytes_ += files_.back().size();
    }
  }

  std::uint64_t bytes() const { return bytes_; }

  /// Reads the files from their first byte to their last, and calls `after(read)` with the number of bytes so far.
  template <class After>
  void read(std::span<std::byte> block, const After& after) const {
    std::uint64_t read = 0;
    for (const File& file : files_) {
      const std::uint64_t size = file.size();
      for (std::uint64_t offset = 0; offset < size; offset += block.size()) {
        const std::span<std::byte> part = block.first(std::min<std::uint64_t>(block.size(), size - offset));
        file.read_at(offset, part);
        after(read += part.size());
      }
    }
  }

 private:
  std::vector<File> files_;
  std::uint64_t bytes_ = 0;
};

/// Writes up to `end` bytes of the file, those before `begin` being there.
void write_up_to(const File& file, std::uint64_t begin, std::uint64_t end, std::span<const std::byte> block) {
  for (; begin < end; begin += std::min<std::uint64_t>(block.size(), end - begin))
    file.write_at(begin, block.first(std::min<std::uint64_t>(block.size(), end - begin)));
}

/// One thread, in turns: a block is read, and its share of the output written.
void copy_in_turns(const Input& input, const File& output, std::uint64_t bytes) {
  std::vector<std::byte> block(kBlockBytes);
  std::uint64_t written = 0;
  input.read(block, [&](std::uint64_t read) {
    const std::uint64_t due = share(bytes, read, input.bytes());
    write_up_to(output, written, due, block);
    written = due;
  });
  write_up_to(output, written, bytes, block);
}

/// Two threads that never wait for each other; what is written starts for the disk at once.
void copy_overlapped(const Input& input, const File& output, std::uint64_t bytes) {
  std::exception_ptr failure;
  std::thread reader([&] {
    try {
      std::vector<std::byte> block(kBlockBytes);
      input.read(block, [](std::uint64_t) {});
    } catch (...) {
      failure = std::current_exception();
    }
  });
  std::exception_ptr own_failure;
  try {
    const std::vector<std::byte> block(kBlockBytes, std::byte{0x5a});
    for (std::uint64_t at = 0; at < bytes; at += kBlockBytes)
      output.write_once_at(at, std::span(block).first(std::min<std::uint64_t>(kBlockBytes, bytes - at)));
  } catch (...) {
    own_failure = std::current_exception();
  }
  reader.join();
  for (const std::exception_ptr& each : {own_failure, failure})
    if (each) std::rethrow_exception(each);
}

struct Arguments {
  std::vector<fs::path> files;
  fs::path output;
  std::uint64_t bytes = 0;
  bool overlap = false;
};

/// Leaves no output behind when it fails.
void copy(const Arguments& arguments) {
  const Input input(arguments.files);
  File output = File::create(arguments.output);
  try {
    (arguments.overlap ? copy_overlapped : copy_in_turns)(input, output, arguments.bytes);
    output.finish();
  } catch (...) {
    ::unlink(arguments.output.c_str());
    throw;
  }
  ::sync();
}

int run(int argc, char** argv) {
  Arguments arguments;
  CLI::App app(
      "The floor that an export is held against: reads all of FILES and writes BYTES, in blocks of 8 MiB, and syncs.",
      "qwen3vl-copy-floor");
  app.add_option("FILES", arguments.files, "the files to read")->required();
  app.add_option("-o,--output", arguments.output, "the file to write, which must not exist")->required();
  app.add_option("--bytes", arguments.bytes, "how many bytes to write")->required();
  app.add_flag("--overlap", arguments.overlap, "read and write in two threads");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  }
  copy(arguments);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return run_program([&] { return run(argc, argv); });
}
