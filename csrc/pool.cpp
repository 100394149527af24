#include "pool.hpp"

#include "allocations.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <new>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#define ESPDL_FORKS 1
#endif
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace espdl {

namespace {

// Polls of a waiting thread before it sleeps: some tens of microseconds, about the pause between two operators of a network.
constexpr int kPolls = 4000;

inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

}  // namespace

// The other threads of a pool and the work they share. Each thread has the same stretch of the parts in every operator, so that it finds in
// its cache what it wrote before; who is done takes parts of others. A thread counts itself in before it takes one, so that the caller, once
// nothing remains, knows by `inside` when the last part is done. A thread that wakes up late finds nothing remaining and keeps nobody waiting.
struct Pool::Team {
  explicit Team(std::size_t helpers) : shares(helpers + 1) {
    members.reserve(helpers);
    for (std::size_t i = 0; i < helpers; ++i) members.emplace_back([this, i] { serve(i + 1); });
  }

  ~Team() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
      round.fetch_add(1);
    }
    wake.notify_all();
    for (auto& member : members) member.join();
  }

  // The parts of one thread that nobody has taken: `left` of them, from `first` on.
  struct alignas(64) Share {
    std::size_t first = 0;
    std::atomic<std::int64_t> left{0};
  };

  void take_parts(std::size_t own) {
    for (std::size_t i = 0; i < shares.size(); ++i) {
      Share& share = shares[(own + i) % shares.size()];
      for (std::int64_t left; (left = share.left.fetch_sub(1)) > 0;) call(work, share.first + static_cast<std::size_t>(left - 1));
    }
  }

  void serve(std::size_t own) {
    for (std::uint64_t seen = 0;;) {
      for (int poll = 0; poll < kPolls && round.load(std::memory_order_acquire) == seen; ++poll) relax();
      if (round.load(std::memory_order_acquire) == seen) {
        std::unique_lock lock(mutex);
        ++asleep;
        wake.wait(lock, [&] { return round.load() != seen; });
        --asleep;
      }
      seen = round.load();
      if (stopping) return;
      inside.fetch_add(1);
      scratch(0);  // before the first part that needs it, which may come late
      take_parts(own);
      inside.fetch_sub(1);
    }
  }

  void run(std::size_t parts, Call function, void* data) {
    call = function;
    work = data;
    // a late thread of the round before may be among the shares: each is whole once `left` tells of it
    for (std::size_t i = 0; i < shares.size(); ++i) {
      shares[i].first = parts * i / shares.size();
      shares[i].left.store(static_cast<std::int64_t>(parts * (i + 1) / shares.size() - shares[i].first));
    }
    bool sleepers;
    {
      const std::lock_guard lock(mutex);
      round.fetch_add(1);
      sleepers = asleep > 0;
    }
    if (sleepers) wake.notify_all();
    take_parts(0);
    for (int poll = 0; inside.load() > 0; ++poll) {
      if (poll < kPolls) {
        relax();
      } else {
        std::this_thread::yield();
      }
    }
  }

  std::vector<Share> shares;
  std::vector<std::thread> members;
  std::mutex mutex;
  std::condition_variable wake;
  int asleep = 0;
  std::atomic<bool> stopping{false};
  Call call = nullptr;
  void* work = nullptr;
  alignas(64) std::atomic<std::uint64_t> round{0};
  alignas(64) std::atomic<std::int64_t> inside{0};
};

Pool::Pool(std::size_t threads) : threads_(std::max<std::size_t>(threads, 1)) {}

Pool::~Pool() { delete team_; }

void Pool::run(std::size_t count, Call call, void* work) {
  // Another Python thread, or an operator inside an operator, may have the team already: this thread then works alone.
  const std::unique_lock lock(busy_, std::try_to_lock);
  if (!lock.owns_lock()) {
    for (std::size_t part = 0; part < count; ++part) call(work, part);
    return;
  }
  if (team_ == nullptr) team_ = new Team(threads_ - 1);
  team_->run(count, call, work);
}

namespace {

// Never destroyed: at exit its threads may no longer be joined safely.
Pool* shared_pool = nullptr;

std::size_t wanted_threads() {
  if (const char* text = std::getenv("ESPDL_THREADS")) {
    const long count = std::strtol(text, nullptr, 10);
    if (count > 0) return static_cast<std::size_t>(std::min(count, 256L));
  }
  return std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace

Pool& Pool::shared() {
  if (shared_pool == nullptr) {
    shared_pool = new Pool(wanted_threads());
#ifdef ESPDL_FORKS
    // A child process has none of its parent's threads: it starts with a pool of its own and leaves the parent's where it is.
    pthread_atfork(nullptr, nullptr, [] { shared_pool = new Pool(shared_pool->threads()); });
#endif
  }
  return *shared_pool;
}

void Pool::set_threads(std::size_t count) {
  Pool::shared();
  Pool* old = shared_pool;
  shared_pool = new Pool(std::min<std::size_t>(count, 256));
  delete old;
}

namespace {

// Scratch memory of threads that have ended, for those that start: running many inputs starts threads anew each time.
struct Scratch {
  std::byte* memory = nullptr;
  std::size_t size = 0;
};
constexpr std::size_t kSpares = 64;
std::mutex spares_mutex;
Scratch spares[kSpares];
std::size_t spare_count = 0;
std::atomic<std::size_t> largest_scratch{0};  // that any thread asked for: a network runs on all of them sooner or later

void drop(Scratch& scratch) {
  ::operator delete(scratch.memory, std::align_val_t{64});
  scratch = {};
}

struct ThreadScratch : Scratch {
  ~ThreadScratch() {
    if (memory == nullptr) return;
    const std::lock_guard lock(spares_mutex);
    if (spare_count < kSpares) {
      spares[spare_count++] = *this;
    } else {
      drop(*this);
    }
  }

  void grow(std::size_t bytes) {
    constexpr std::size_t kSlack = 256;
    const std::lock_guard lock(spares_mutex);
    bytes = std::max(largest_scratch.load(std::memory_order_relaxed), bytes);
    largest_scratch.store(bytes, std::memory_order_relaxed);
    for (std::size_t i = 0; memory == nullptr && i < spare_count; ++i) {
      if (spares[i].size < bytes) continue;
      static_cast<Scratch&>(*this) = spares[i];
      spares[i] = spares[--spare_count];
      return;
    }
    if (memory != nullptr) drop(*this);
    if (spare_count > 0 && spares[spare_count - 1].size < bytes) drop(spares[--spare_count]);
    if (!ESPDL_COUNTS_ALLOCATIONS) count_allocation();
    memory = static_cast<std::byte*>(::operator new(bytes + kSlack, std::align_val_t{64}));
    size = bytes;
  }
};

}  // namespace

std::byte* scratch(std::size_t bytes) {
  thread_local ThreadScratch memory;
  if (bytes > memory.size || memory.size < largest_scratch.load(std::memory_order_relaxed)) memory.grow(bytes);
  return memory.memory;
}

}  // namespace espdl
