#include <zsync/core/assert.hpp>
#include <zsync/core/event.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/worker.hpp>
#include <zsync/core/worker_group.hpp>

#include <cerrno>
#include <format>
#include <sched.h>
#include <semaphore>

namespace zsync {
namespace {

constexpr std::size_t thread_name_max = 15; // pthread_setname_np(3)

Outcome<void> stay_on(unsigned cpu) {
    cpu_set_t one;
    CPU_ZERO(&one);
    if (cpu < CPU_SETSIZE) {
        CPU_SET(cpu, &one);
    }
    if (::sched_setaffinity(0, sizeof one, &one) != 0) {
        const Error error = os_error(errno);
        return fail(error, std::format("no processor {}: {}", cpu, error.message()));
    }
    return {};
}

} // namespace

/// One worker and its thread. The worker is made, run and destroyed there.
class WorkerGroup::Member {
public:
    explicit Member(WorkerOptions options) : options_(std::move(options)) {}
    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;
    ~Member() { stop_and_join(); }

    Outcome<void> start() {
        const auto body = [](void* argument) -> void* {
            static_cast<Member*>(argument)->live();
            return nullptr;
        };
        if (!thread_.start(options_.name.c_str(), body, this)) {
            return fail(CoreError::limit_reached, "the system gives no thread");
        }
        started_.acquire();
        if (fault_) {
            thread_.join();
            return std::unexpected(*std::move(fault_));
        }
        return {};
    }

    void ask_to_stop() noexcept {
        if (address_ && !stop_asked_) {
            stop_asked_ = true;
            (void)address_->inbox()->post(stop_);
        }
    }
    void stop_and_join() noexcept {
        ask_to_stop();
        thread_.join();
    }
    [[nodiscard]] const WorkerAddress& address() const noexcept {
        return *address_; // NOLINT(*-optional-access): it has started
    }

private:
    class Stop final : public Message {
    public:
        explicit Stop(Member& member) noexcept : member_(member) {}
        void arrive(Worker& /*worker*/) noexcept override { member_.stopped_.set(); }

    private:
        Member& member_;
    };

    void live() {
        Outcome<std::unique_ptr<Worker>> worker = make_worker();
        if (!worker) {
            fault_ = std::move(worker).error();
            started_.release();
            return;
        }
        address_.emplace((*worker)->inbox(), TaskKind::coroutine);
        started_.release();
        (*worker)->run(TaskName(options_.name), host(this));
    }

    Outcome<std::unique_ptr<Worker>> make_worker() {
        const Scheduling& scheduling = options_.scheduling;
        if (options_.cpu && scheduling.policy == Scheduling::Policy::deadline) {
            return fail(
                CoreError::invalid_argument,
                "SCHED_DEADLINE and a processor of its own: the kernel admits such a thread only "
                "where it may use every processor of its root domain"
            );
        }
        if (options_.cpu) {
            ZTRY(stay_on(*options_.cpu));
        }
        ZTRY(scheduling.check());
        std::unique_ptr<Worker> worker =
            ZTRY(Worker::create(scheduling.is_real_time() ? RunOrder::urgency : RunOrder::arrival));
        if (!worker->inbox()) {
            return fail(os_error(EMFILE), "no descriptor is left for its inbox");
        }
        worker->busy_poll(options_.busy_poll);
        if (TaskOrder* order = worker->task_order()) {
            order->set_capacity(scheduling.capacity());
        }
        if (scheduling.lock_memory) {
            ZTRY(lock_memory());
        }
        ZTRY(scheduling.apply());
        return worker;
    }

    // The root, whose children are what others start here.
    static Task<void> host(Member* self) { (void)co_await self->stopped_.wait(); }

    WorkerOptions options_;
    std::binary_semaphore started_{0};
    std::optional<Fault> fault_;           ///< why it could not be made
    std::optional<WorkerAddress> address_; ///< set before `started_`
    bool stop_asked_ = false;
    Stop stop_{*this};
    Event stopped_; ///< touched by its own thread
    PoolThread thread_;
};

WorkerGroup::WorkerGroup() = default;
WorkerGroup::~WorkerGroup() {
    stop();
    if (!home_.is_here()) {
        for (std::unique_ptr<Member>& member : members_) {
            (void)member.release(); // its worker is still in it
        }
    }
}

Outcome<std::unique_ptr<WorkerGroup>> WorkerGroup::create(std::size_t count) {
    return create(std::vector<WorkerOptions>(count));
}

Outcome<std::unique_ptr<WorkerGroup>> WorkerGroup::create(std::vector<WorkerOptions> options) {
    if (options.empty() || options.size() > limits::group_workers_max) {
        return fail(
            CoreError::invalid_argument,
            std::format(
                "a group of {} workers: it has 1 to {}", options.size(), limits::group_workers_max
            )
        );
    }
    std::unique_ptr<WorkerGroup> group(new WorkerGroup);
    for (WorkerOptions& of : options) {
        const std::size_t number = group->members_.size();
        if (of.name.size() > thread_name_max) {
            return fail(
                CoreError::invalid_argument,
                std::format("worker {}: the name \"{}\" is longer than 15", number, of.name)
            );
        }
        auto member = std::make_unique<Member>(std::move(of));
        if (Outcome<void> started = member->start(); !started) {
            return fail(
                started.error().error,
                std::format("worker {}: {}", number, started.error().message())
            );
        }
        group->members_.push_back(std::move(member));
    }
    return group;
}

const WorkerAddress& WorkerGroup::operator[](std::size_t number) const noexcept {
    ZASSERT(number < members_.size(), "a worker's number is below the group's size");
    return members_[number]->address();
}

void WorkerGroup::stop() noexcept {
    if (!home_.is_here()) {
        return;
    }
    for (const std::unique_ptr<Member>& member : members_) {
        member->ask_to_stop();
    }
    for (const std::unique_ptr<Member>& member : members_) {
        member->stop_and_join();
    }
}

} // namespace zsync
