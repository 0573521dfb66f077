// A whole export with every call of the operating system made to fail once in turn, and every place in our code that
// asks for memory refused once; and with the process killed, or asked to end, at each of the calls. Each run is a
// forked child that runs the program inside itself on one thread that encodes, over a package that lies there already.
#include <dlfcn.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/defs/schema.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <map>
#include <memory>
#include <new>
#include <set>
#include <string>
#include <vector>

#include "backend/weight_blocks.h"
#include "commands/program.h"
#include "support/command_line_test.h"
#include "support/faults.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;
using faults::Call;
using faults::Plan;
using testing::AnyOf;
using testing::HasSubstr;

#ifdef __SANITIZE_ADDRESS__
constexpr std::uint64_t kThinning = 12;  // of calls and places: a run takes many times as long
#else
constexpr std::uint64_t kThinning = 1;
#endif

/// A file in memory that a child writes to.
class Capture {
 public:
  Capture() : descriptor_(::memfd_create("output", 0)) {}
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  ~Capture() { ::close(descriptor_); }

  int descriptor() const { return descriptor_; }

  void empty() const {
    if (::ftruncate(descriptor_, 0) != 0) throw std::runtime_error("a file in memory cannot be emptied");
    ::lseek(descriptor_, 0, SEEK_SET);
  }

  std::string text() const {
    std::string text;
    std::array<char, 4096> buffer{};
    ::lseek(descriptor_, 0, SEEK_SET);
    for (ssize_t count = 0; (count = ::read(descriptor_, buffer.data(), buffer.size())) > 0;)
      text.append(buffer.data(), static_cast<std::size_t>(count));
    return text;
  }

 private:
  int descriptor_;
};

/// Whether a file has these bytes, through one small buffer: it is asked some thousand times.
bool has_bytes(const fs::path& path, std::string_view expected) {
  static std::array<char, 1 << 16> buffer;
  const int descriptor = ::open(path.c_str(), O_RDONLY);
  bool equal = descriptor >= 0;
  ssize_t count = 0;
  while (equal && (count = ::read(descriptor, buffer.data(), buffer.size())) > 0) {
    const auto bytes = static_cast<std::size_t>(count);
    equal = expected.substr(0, bytes) == std::string_view(buffer.data(), bytes);
    if (equal) expected.remove_prefix(bytes);
  }
  ::close(descriptor);
  return equal && expected.empty();
}

struct Outcome {
  int code;  ///< 128 + signal for a process that a signal ended
  std::string err;
  bool fired;
  bool died;  ///< the process ended before the program returned
};

/// A process that runs the program inside itself, once or several times one after the other.
class Child {
 public:
  explicit Child(std::vector<std::string> arguments, const fs::path& folder)
      : record_(&faults::shared_record()), arguments_(std::move(arguments)) {
    if (::pipe(orders_.data()) != 0 || ::pipe(answers_.data()) != 0) throw std::runtime_error("no pipes");
    std::fflush(nullptr);
    id_ = ::fork();
    if (id_ == 0) serve(folder.string() + "/");
    ::close(orders_[0]);
    ::close(answers_[1]);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    ::close(orders_[1]);
    ::close(answers_[0]);
    if (!ended_) {
      ::kill(id_, SIGKILL);  // it waits for its next run
      ::waitpid(id_, nullptr, 0);
    }
    ::munmap(record_, sizeof(*record_));
  }

  bool ended() const { return ended_; }
  const faults::Record& record() const { return *record_; }

  Outcome run(const Plan& plan) {
    new (record_) faults::Record{};
    err_.empty();
    int code = 0;
    static_cast<void>(::write(orders_[1], &plan, sizeof(plan)));
    if (::read(answers_[0], &code, sizeof(code)) != sizeof(code)) {
      int status = 0;
      ::waitpid(id_, &status, 0);
      ended_ = true;
      code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    return {code, err_.text(), record_->fired, ended_};
  }

 private:
  /// The child's part.
  [[noreturn]] void serve(const std::string& folder) {
    ::close(orders_[1]);
    ::close(answers_[0]);
    ::dup2(err_.descriptor(), STDERR_FILENO);
    std::vector<char*> argv;
    for (std::string& argument : arguments_) argv.push_back(argument.data());
    Plan plan;
    while (::read(orders_[0], &plan, sizeof(plan)) == sizeof(plan)) {
      ::alarm(120);
      faults::arm(folder, plan, *record_);
      const int code = run_program(static_cast<int>(argv.size()), argv.data());
      faults::disarm();
      static_cast<void>(::write(answers_[1], &code, sizeof(code)));
    }
    ::_exit(0);
  }

  faults::Record* record_;
  std::vector<std::string> arguments_;
  Capture err_;
  std::array<int, 2> orders_{};
  std::array<int, 2> answers_{};
  pid_t id_ = -1;
  bool ended_ = false;
};

class FaultInjection : public CommandLineTest {
 protected:
  static void SetUpTestSuite() {
    // Opened in the parent, a child need not: while there is one thread, so that the children have all there are.
    ::setenv("OMP_NUM_THREADS", "1", 1);
    ::setenv("OPENBLAS_NUM_THREADS", "1", 1);
    weight_blocks();
    ASSERT_NE(onnx::OpSchemaRegistry::Schema("Add", 13, ""), nullptr);  // nor make ONNX's operators again
    std::size_t threads = 0;
    for ([[maybe_unused]] const auto& thread : fs::directory_iterator("/proc/self/task")) ++threads;
    ASSERT_EQ(threads, 1U) << "a child of this process would lack the others";
  }

  void SetUp() override {
    SynthOptions options = tiny();
    options.model.text.num_hidden_layers = 1;
    options.model.vision.depth = 2;
    options.model.vision.deepstack_visual_indexes = {1};
    options.max_shard_bytes = 600'000;
    make(options);
    ASSERT_EQ(run({"--recipe", "fp32"}, {}).code, 0);
    old_ = tree(out_);
    fs::rename(out_, kept_);
    const Outcome clean = run({}, {});
    ASSERT_EQ(clean.code, 0) << clean.err;
    new_ = tree(out_);
    ASSERT_NE(new_, old_);
    checkpoint_files_ = tree(checkpoint_);
    restore();
  }

  /// A run of the program, with more arguments than checkpoint and output, in a process of its own.
  Outcome run(const std::vector<std::string>& arguments, const Plan& plan) {
    last_ = start(arguments);
    return last_->run(plan);
  }

  /// The same with --force, over what is there. One process makes such runs one after the other until it ends, and its
  /// first is not counted: a fork takes longer than the export of so small a model. After a signal it could not go on.
  Outcome run_over(const Plan& plan) {
    if (plan.action == Plan::Action::signal) return run({"--force"}, plan);
    if (!server_ || server_->ended()) {
      server_ = start({"--force"});
      server_->run({});
      restore();
    }
    last_ = server_;
    return last_->run(plan);
  }

  std::shared_ptr<Child> start(const std::vector<std::string>& arguments) const {
    std::vector<std::string> all = {"qwen3vl-export", checkpoint_, "-o", out_, "--threads", "1", "-q"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return std::make_shared<Child>(all, folder_);
  }

  /// How many calls of each kind a run over an old package makes.
  std::array<std::uint64_t, faults::kCalls> calls_of_a_run() {
    const Outcome clean = run_over({});
    EXPECT_EQ(clean.code, 0) << clean.err;
    std::array<std::uint64_t, faults::kCalls> counts{};
    for (std::size_t i = 0; i < counts.size(); ++i) counts[i] = last_->record().calls[i];
    restore();
    return counts;
  }

  std::vector<std::pair<Call, std::string>> steps() const {
    std::vector<std::pair<Call, std::string>> steps;
    const faults::Record& record = last_->record();
    for (std::size_t i = 0; i < std::min<std::size_t>(record.traced, record.trace.size()); ++i)
      steps.emplace_back(record.trace[i].call, record.trace[i].path.data());
    return steps;
  }

  /// The old package, and nothing else but the checkpoint.
  void restore() {
    fs::remove_all(out_);
    fs::remove_all(partial());
    if (over_) fs::copy(kept_, out_, fs::copy_options::recursive);
  }

  fs::path partial() const { return out_.string() + ".partial"; }

  /// Whether the output is a folder of these files and no others.
  bool holds(const std::map<std::string, std::string>& files) const {
    if (!fs::is_directory(out_)) return false;
    const auto found = std::ranges::count_if(fs::recursive_directory_iterator(out_),
                                             [](const fs::directory_entry& entry) { return !entry.is_directory(); });
    return static_cast<std::size_t>(found) == files.size() &&
           std::ranges::all_of(files, [&](const auto& file) { return has_bytes(out_ / file.first, file.second); });
  }
  bool holds_old() const { return over_ ? holds(old_) : !fs::exists(out_); }
  bool untouched() const { return holds_old() && !fs::exists(partial()); }

  /// After whatever happened a run without faults must succeed and clean up. Where everything is as it was before, it
  /// is the run that SetUp() made.
  void expect_next_run(const std::string& what) {
    if (untouched()) return;
    const Outcome next = server_ && !server_->ended() ? run_over({}) : run({"--force"}, {});
    EXPECT_EQ(next.code, 0) << "after " << what << ": " << next.err;
    EXPECT_TRUE(holds(new_)) << "after " << what;
    EXPECT_FALSE(fs::exists(partial())) << "after " << what;
    restore();
  }

  /// What must hold after any failure of a call or an allocation.
  void expect_failed_well(const Outcome& outcome, const std::string& what, const std::set<int>& codes) {
    // What libonnx itself cannot read is not its model.
    EXPECT_TRUE(codes.contains(outcome.code) || outcome.err.find("is not valid ONNX") != std::string::npos)
        << what << ": exit code " << outcome.code << ", " << outcome.err;
    if (outcome.code == 0) {
      EXPECT_EQ(outcome.err, "") << what;
      EXPECT_TRUE(holds(new_)) << what << ": a run that succeeds leaves the new package";
    } else {
      EXPECT_TRUE(outcome.err.starts_with("qwen3vl-export: ")) << what << ": " << outcome.err;
      EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << what << ": " << outcome.err;
      if (outcome.err.find("is complete and in place") != std::string::npos)
        EXPECT_TRUE(holds(new_)) << what << ": " << outcome.err;
      else
        EXPECT_TRUE(holds_old()) << what << ": " << outcome.err;
      if (fs::exists(partial())) {
        EXPECT_TRUE(what.starts_with("remove") || outcome.err.find("is left of the old one is in") != std::string::npos)
            << what << ": " << outcome.err;
      }
    }
    expect_next_run(what);
  }

  std::uint64_t count(Call call) const { return last_->record().calls[static_cast<std::size_t>(call)]; }

  fs::path kept_ = folder_ / "kept";
  std::map<std::string, std::string> old_;
  std::map<std::string, std::string> new_;
  std::map<std::string, std::string> checkpoint_files_;
  std::shared_ptr<Child> server_;
  std::shared_ptr<Child> last_;  // that made a run
  bool over_ = true;             // whether there is an old package
};

/// A kind of call, the errors that it is made to fail with in turn, and how the program may end.
struct Failing {
  Call call;
  std::vector<int> errors;
  std::set<int> codes;
  std::uint64_t step = 1;  ///< every how many of them
};

const std::vector<Failing>& failing_calls() {
  static const std::vector<Failing> kinds = {
      {Call::open_to_read, {EIO, EACCES}, {3, 5}},
      {Call::open_to_write, {ENOSPC, EROFS, EACCES, EDQUOT}, {5}},
      {Call::read, {EIO}, {3, 5}},
      {Call::write, {EIO, ENOSPC, EFBIG, EDQUOT}, {5}},
      {Call::reserve, {ENOSPC, EIO, EDQUOT}, {5}},
      {Call::sync, {EIO, ENOSPC}, {5}},
      {Call::close, {EIO}, {0, 5}},  // of what was only read it does not matter
      {Call::make_folder, {EACCES, ENOSPC}, {5}},
      {Call::rename, {EIO, EACCES}, {5}},
      {Call::remove, {EIO, EACCES}, {5}},
      {Call::lock, {EIO}, {5}},
      {Call::list, {EIO}, {3, 5}, 2},
      {Call::examine, {EIO}, {0, 3, 5}, 3},
      {Call::measure, {EIO}, {5}},
  };
  return kinds;
}

TEST_F(FaultInjection, EveryCallFailsOnce) {
  const auto counts = calls_of_a_run();
  std::string summary;
  for (const Failing& kind : failing_calls()) {
    const std::uint64_t count = counts[static_cast<std::size_t>(kind.call)];
    EXPECT_GT(count, 0U) << "an export makes no call of the kind " << name_of(kind.call);
    std::uint64_t failed = 0;
    for (std::uint64_t nth = 0; nth < count; nth += kind.step * kThinning) {
      const int error = kind.errors[failed % kind.errors.size()];
      const Outcome outcome = run_over({.action = Plan::Action::fail, .call = kind.call, .nth = nth, .error = error});
      const std::string what =
          fmt::format("{} {} of {}, error {}", name_of(kind.call), nth + 1, count, std::strerror(error));
      EXPECT_TRUE(outcome.fired) << what;
      expect_failed_well(outcome, what, kind.codes);
      if (outcome.code != 0) {
        EXPECT_THAT(outcome.err, AnyOf(HasSubstr(folder_.string()), HasSubstr("would not load"))) << what;
      }
      ++failed;
    }
    summary += fmt::format("{}{} {}", summary.empty() ? "" : ", ", failed, name_of(kind.call));
  }
  EXPECT_EQ(tree(checkpoint_), checkpoint_files_);
  fmt::print("made to fail, each once: {}\n", summary);
}

TEST_F(FaultInjection, CallsCutShortAreNoError) {
  const Outcome outcome = run_over({.action = Plan::Action::shorten});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  EXPECT_TRUE(holds(new_)) << "the bytes differ from those of calls that do all at once";
  fmt::print("cut short or interrupted: {} reads, {} writes\n", count(Call::read), count(Call::write));
}

/// The kinds of calls that leave something changed.
constexpr std::array kChanging = {Call::open_to_write, Call::write,  Call::reserve, Call::sync, Call::make_folder,
                                  Call::rename,        Call::remove, Call::close,   Call::lock};

TEST_F(FaultInjection, KilledAnywhereItLeavesTheOldOrTheNewPackage) {
  std::string summary;
  for (const bool over : {true, false}) {
    over_ = over;
    restore();
    const auto counts = calls_of_a_run();
    int kills = 0;
    for (const Call call : kChanging) {
      // The rarer calls all, of writes and closes some.
      const std::uint64_t all = counts[static_cast<std::size_t>(call)];
      const std::uint64_t step = (all > 25 ? 5 : 1) * kThinning;
      for (std::uint64_t nth = 0; nth < all; nth += step) {
        const Outcome outcome = run_over({.action = Plan::Action::signal, .call = call, .nth = nth, .signal = SIGKILL});
        const std::string what = fmt::format("a kill at {} {} of {}", name_of(call), nth + 1, all);
        EXPECT_EQ(outcome.code, 128 + SIGKILL) << what;
        EXPECT_TRUE(holds_old() || holds(new_)) << what;
        expect_next_run(what);
        ++kills;
      }
    }
    summary += fmt::format("{}{} times {}", over ? "" : ", ", kills, over ? "over an old package" : "where was none");
  }
  fmt::print("killed {}\n", summary);
}

TEST_F(FaultInjection, AskedToEndItLeavesTheOldPackage) {
  const auto counts = calls_of_a_run();
  int ended = 0;
  int finished = 0;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP})
    for (const Call call : {Call::open_to_read, Call::read, Call::write, Call::sync, Call::rename, Call::remove}) {
      const std::uint64_t all = counts[static_cast<std::size_t>(call)];
      for (std::uint64_t nth = 0; nth < all; nth += (all / 6 + 1) * kThinning) {
        const Outcome outcome = run_over({.action = Plan::Action::signal, .call = call, .nth = nth, .signal = signal});
        const std::string what = fmt::format("signal {} at {} {} of {}", signal, name_of(call), nth + 1, all);
        if (outcome.code == 0) {  // it came when nothing was left to do but to put the package in place
          EXPECT_TRUE(holds(new_)) << what;
          ++finished;
        } else {
          EXPECT_EQ(outcome.code, 130) << what << ": " << outcome.err;
          EXPECT_EQ(outcome.err, "qwen3vl-export: interrupted; nothing was left behind\n") << what;
          EXPECT_TRUE(untouched()) << what;
          ++ended;
        }
        restore();
      }
    }
  EXPECT_GT(ended, 5);
  fmt::print("asked to end: {} ended, {} were done already\n", ended, finished);
}

TEST_F(FaultInjection, TheSecondSignalEndsItAtOnce) {
  const Outcome outcome =
      run_over({.action = Plan::Action::signal, .call = Call::write, .nth = 3, .signal = SIGINT, .times = 2});
  EXPECT_EQ(outcome.code, 128 + SIGINT) << outcome.err;
  EXPECT_TRUE(holds_old());
  expect_next_run("two signals");
}

/// Where put_a_file() puts one.
std::string file_to_put;  // NOLINT: a signal's handler has no arguments of its own

void put_a_file(int) {
  ::close(::open(file_to_put.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0666));
}

/// Just before the new package takes the old one's place somebody puts a file into the old one.
TEST_F(FaultInjection, WhatIsPutThereMeanwhileStays) {
  file_to_put = out_ / "thesis.docx";
  const std::uint64_t renames = calls_of_a_run()[static_cast<std::size_t>(Call::rename)];
  const auto before = std::signal(SIGUSR1, put_a_file);
  const Outcome outcome =
      run_over({.action = Plan::Action::signal, .call = Call::rename, .nth = renames - 1, .signal = SIGUSR1});
  std::signal(SIGUSR1, before);
  EXPECT_EQ(outcome.code, 5);
  EXPECT_EQ(outcome.err,
            fmt::format("qwen3vl-export: {0}: the new package is complete and in place, but {0}.partial: has "
                        "\"thesis.docx\", put there during the run; what is left of the old one is in "
                        "{0}.partial\n",
                        out_.string()));
  EXPECT_TRUE(holds(new_));
  EXPECT_EQ(tree(partial()), (std::map<std::string, std::string>{{"thesis.docx", ""}}));
}

/// What a loss of power leaves cannot be tried, but it follows from the order of the calls.
TEST_F(FaultInjection, WhatIsRenamedIsOnTheDisk) {
  out_ = folder_ / "made" / "for it" / "out";
  over_ = false;
  ASSERT_EQ(run({}, {}).code, 0);
  using Step = std::pair<Call, std::string>;
  std::vector<Step> steps = this->steps();
  const auto first = [&](Call call, const std::string& path) {
    return std::ranges::find(steps, Step(call, path)) - steps.begin();
  };
  const auto last = [&](Call call, const std::string& path) {
    const auto found = std::find(steps.rbegin(), steps.rend(), Step(call, path));
    return steps.rend() - found - 1;  // -1: there is none
  };
  const auto end = static_cast<std::ptrdiff_t>(steps.size());
  const std::string partial = "made/for it/out.partial";
  const auto renamed = first(Call::rename, partial);
  const auto folder_synced = last(Call::sync, partial);
  ASSERT_LT(renamed, end);
  ASSERT_GE(folder_synced, 0);
  for (const auto& [name, bytes] : new_) {
    const std::string path = partial + "/" + name;
    ASSERT_GE(last(Call::write, path), 0) << name;
    EXPECT_LT(last(Call::write, path), first(Call::sync, path)) << name << " is written to after it was synced";
    EXPECT_LT(last(Call::reserve, path), first(Call::sync, path)) << name;
    EXPECT_LT(first(Call::sync, path), folder_synced) << name << " is synced after its folder";
  }
  EXPECT_LT(last(Call::remove, partial + "/.qwen3vl-export-in-progress"), folder_synced);
  EXPECT_LT(folder_synced, renamed);
  EXPECT_LT(renamed, last(Call::sync, "made/for it")) << "the folder that has the new name is not synced";
  EXPECT_LT(last(Call::sync, "made"), end);
  EXPECT_GE(last(Call::sync, "made"), 0) << "a folder that was made is not synced into the one above";

  // Over an old one: it is removed when the new one's name is on the disk.
  ASSERT_EQ(run({"--force"}, {}).code, 0);
  steps = this->steps();
  const auto exchanged = last(Call::rename, partial);
  const auto synced = last(Call::sync, "made/for it");
  EXPECT_LT(exchanged, synced);
  for (auto i = exchanged; i < synced; ++i)
    EXPECT_NE(steps[static_cast<std::size_t>(i)].first, Call::remove) << "before the rename is on the disk";
}

std::string symbols(const faults::Record& record) {
  std::string text;
  for (const auto& address : record.stack) {
    Dl_info info{};
    void* const at = address;
    if (at == nullptr) break;
    if (::dladdr(at, &info) != 0 && info.dli_sname != nullptr)
      text += fmt::format("    {}\n", info.dli_sname);
    else
      text += fmt::format("    {}\n", at);
  }
  return text;
}

TEST_F(FaultInjection, EveryPlaceThatAsksForMemoryIsRefused) {
  ASSERT_EQ(run_over({.action = Plan::Action::list_sites}).code, 0);
  restore();
  const std::vector<faults::Site> sites = faults::sites_of(last_->record());
  const std::uint64_t all = last_->record().allocations;
  std::size_t refused = 0;
  std::size_t done_without = 0;
  std::size_t in_destructors = 0;
  for (std::size_t i = 0; i < sites.size(); i += kThinning) {
    const Outcome outcome = run_over({.action = Plan::Action::refuse_memory, .site = sites[i]});
    const std::string asked = symbols(last_->record());
    const std::string what = fmt::format("place {} of {}, asked for by\n{}", i + 1, sites.size(), asked);
    if (!outcome.fired) {  // threads take turns as they like: this run did not come by
      EXPECT_EQ(outcome.code, 0) << what;
      restore();
      continue;
    }
    ++refused;
    if (outcome.died) {  // in a destructor of nlohmann_json, which asks for memory: the process can only end
      EXPECT_EQ(outcome.code, 1) << what;
      EXPECT_EQ(outcome.err, "qwen3vl-export: not enough memory\n") << what;
      EXPECT_TRUE(holds_old()) << what;
      expect_next_run(what);
      ++in_destructors;
      continue;
    }
    done_without += outcome.code == 0 ? 1 : 0;
    expect_failed_well(outcome, what, {0, 1, 5});
    if (outcome.code == 5) {  // with the new package in place there is no going back
      EXPECT_THAT(outcome.err, HasSubstr("is complete and in place, but there is no memory")) << what;
    } else if (outcome.code == 1) {
      EXPECT_EQ(outcome.err, "qwen3vl-export: not enough memory\n") << what;
    }
    restore();
  }
  EXPECT_LT(in_destructors, refused / 20);
  EXPECT_GT(refused, sites.size() / kThinning / 2) << "places are not found again";
  fmt::print("{} places of {} allocations refused, each once; {} were done without; {} in destructors\n", refused, all,
             done_without, in_destructors);
}

}  // namespace
}  // namespace q3vl
