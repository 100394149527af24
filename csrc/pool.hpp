// A small persistent thread pool: parts of one operator's work, spread over the cores.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace espdl {

// Work below this many nanoseconds is not worth waking another thread for.
inline constexpr double kSplitAboveNanoseconds = 6e3;

class Pool {
 public:
  // Calls fn(part) once for every part in [0, count), on up to `threads` threads, the calling one included, and returns when all are done.
  // Parts must be independent: which thread takes which is not defined. fn must not throw and must not need the GIL.
  template <typename Fn>
  void parallel_for(std::size_t count, Fn&& fn) {
    using Work = std::remove_reference_t<Fn>;
    if (count <= 1 || threads_ <= 1) {
      for (std::size_t part = 0; part < count; ++part) fn(part);
      return;
    }
    run(count, [](void* work, std::size_t part) { (*static_cast<Work*>(work))(part); }, &fn);
  }

  // Threads that parallel_for uses, the calling one included.
  std::size_t threads() const { return threads_; }

  // The pool that steps called from Python run on: ESPDL_THREADS threads, else one per core.
  static Pool& shared();
  // Stops the threads of the shared pool and starts count - 1 others (at their first use). Not while a step runs.
  static void set_threads(std::size_t count);

  explicit Pool(std::size_t threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

 private:
  using Call = void (*)(void*, std::size_t);
  struct Team;

  void run(std::size_t count, Call call, void* work);

  std::size_t threads_;
  Team* team_ = nullptr;
  std::mutex busy_;
};

// Scratch memory of the calling thread, 64-byte aligned, with 256 bytes more that may be read and written beyond its end. It keeps its
// content only until the next call on this thread, and grows only: after the first run of a step nothing is allocated.
std::byte* scratch(std::size_t bytes);

}  // namespace espdl
