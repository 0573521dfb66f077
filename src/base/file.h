// Files by descriptor, every call checked: an error names the path and the operating system's reason.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace q3vl {

class File {
 public:
  /// Opens an existing regular file for reading. Throws Error(bad_input).
  static File open(const std::filesystem::path& path);

  /// Creates a file that must not exist yet, for writing. Throws Error(output).
  static File create(const std::filesystem::path& path);

  /// Opens a file for reading and writing, made empty if it does not exist, that no other process has opened this way
  /// until it is closed. Throws Error(output), also when another one has.
  static File open_exclusively(const std::filesystem::path& path);

  File(File&& other) noexcept;
  File& operator=(File&&) = delete;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File();

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const;

  /// Reads exactly `into.size()` bytes at `offset`. Throws Error(bad_input) on failure or when the file ends before.
  void read_at(std::uint64_t offset, std::span<std::byte> into) const;

  /// The same for bytes that nobody wants again soon: what the page cache did not hold before, it does not hold
  /// afterwards, where the system can do that.
  void read_once_at(std::uint64_t offset, std::span<std::byte> into) const;

  /// Writes all of `bytes` at `offset`. Throws Error(output).
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes) const;

  /// The same for bytes that nobody wants soon: they start for the disk at once, so that finish() has less to wait
  /// for, and where the system can do that they do not stay in the page cache.
  void write_once_at(std::uint64_t offset, std::span<const std::byte> bytes) const;

  /// Sets the file's size, reserving nothing. Throws Error(output).
  void resize(std::uint64_t size) const;

  /// Sets the file's size and reserves room for it on the disk where the file system can. Throws Error(output),
  /// also when the room is not there.
  void reserve(std::uint64_t size) const;

  /// fsync: what was written is on the disk. Throws Error(output).
  void sync() const;

  /// fsync and close, both checked. Throws Error(output).
  void finish();

 private:
  File(std::filesystem::path path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}

  // With the flags of preadv2() and pwritev2(), dropped if the system does not know them; write() returns those used.
  void read(std::uint64_t offset, std::span<std::byte> into, int flags) const;
  int write(std::uint64_t offset, std::span<const std::byte> bytes, int flags) const;

  std::filesystem::path path_;
  int descriptor_;
};

/// The whole of a small text file. Throws Error(bad_input) when it cannot be read or is larger than `limit` bytes.
std::string read_text_file(const std::filesystem::path& path, std::uint64_t limit = 256U << 20);

/// Creates `path` with `text`, synced to the disk. Throws Error(output).
void write_text_file(const std::filesystem::path& path, const std::string& text);

/// Flushes a folder's entries (created, renamed files) to the disk. Throws Error(output).
void sync_folder(const std::filesystem::path& path);

}  // namespace q3vl
