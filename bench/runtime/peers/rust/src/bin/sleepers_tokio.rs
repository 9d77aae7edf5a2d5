//! Many sleeping tasks on tokio's current_thread runtime: `sleepers_tokio COUNT` prints one JSON object with the bytes of
//! each and the milliseconds to start all, to wake all after their common deadline, and to cancel all.
use std::cell::Cell;
use std::rc::Rc;
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::{sleep_until, Duration, Instant};

const FAR_AWAY: Duration = Duration::from_secs(3600);
const NEAR: Duration = Duration::from_secs(3);

async fn sleeper(deadline: Instant, awake: Rc<Cell<usize>>) {
    awake.set(awake.get() + 1);
    sleep_until(deadline).await;
    awake.set(awake.get() - 1);
}

/// Starts them and returns when each is asleep.
async fn start(count: usize, deadline: Instant, awake: &Rc<Cell<usize>>) -> Vec<JoinHandle<()>> {
    let tasks = (0..count).map(|_| tokio::task::spawn_local(sleeper(deadline, awake.clone()))).collect();
    while awake.get() != count {
        tokio::task::yield_now().await;
    }
    tasks
}

async fn measure(count: usize) {
    let started = Rc::new(Cell::new(0));
    let before = peers::resident_bytes();
    let begin = Instant::now();
    let deadline = begin + NEAR;
    let tasks = start(count, deadline, &started).await;
    let spawn = begin.elapsed();
    let bytes = peers::resident_bytes() - before;
    assert!(Instant::now() < deadline, "the deadline passed while tasks were started");
    for task in tasks {
        task.await.expect("no panic");
    }
    let wake = deadline.elapsed();
    let canceled = Rc::new(Cell::new(0));
    let tasks = start(count, Instant::now() + FAR_AWAY, &canceled).await;
    let begin = Instant::now();
    for task in &tasks {
        task.abort();
    }
    for task in tasks {
        assert!(task.await.unwrap_err().is_cancelled());
    }
    let cancel = begin.elapsed();
    println!(
        r#"{{"bytes":{:.1},"spawn_ms":{:.1},"wake_ms":{:.1},"cancel_ms":{:.1}}}"#,
        bytes as f64 / count as f64,
        spawn.as_secs_f64() * 1e3,
        wake.as_secs_f64() * 1e3,
        cancel.as_secs_f64() * 1e3
    );
}

fn main() {
    let count = std::env::args().nth(1).and_then(|word| word.parse().ok()).expect("usage: sleepers_tokio COUNT");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(LocalSet::new().run_until(measure(count)));
}
