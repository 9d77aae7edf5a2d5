//! The small costs of tokio's current_thread runtime: `micro_tokio ITERATIONS CASE...` prints of each case its name and its
//! nanoseconds an operation; `micro_tokio` alone names the cases.
use std::future::{poll_fn, Future};
use std::hint::black_box;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, Mutex};
use tokio::time::Sleep;

const CHANNEL_CAPACITY: usize = 64;
const LIVE_TIMERS: u64 = 1_000_000;

#[inline(never)]
async fn child(value: u64) -> u64 {
    black_box(value) + 1
}

async fn await_child(count: u64) -> Duration {
    let start = Instant::now();
    let mut value = 0;
    for _ in 0..count {
        value = child(value).await;
    }
    black_box(value);
    start.elapsed()
}

async fn spawn_join(count: u64) -> Duration {
    let start = Instant::now();
    let mut value = 0;
    for _ in 0..count {
        value = tokio::spawn(child(value)).await.expect("no panic");
    }
    black_box(value);
    start.elapsed()
}

async fn yield_many(count: u64) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

async fn yield_of_two(count: u64) -> Duration {
    let start = Instant::now();
    let first = tokio::spawn(yield_many(count / 2));
    let second = tokio::spawn(yield_many(count / 2));
    first.await.expect("no panic");
    second.await.expect("no panic");
    start.elapsed()
}

/// Deadlines between one second and an hour away, another one each time.
fn deadline(from: tokio::time::Instant, serial: u64) -> tokio::time::Instant {
    from + Duration::from_nanos(1_000_000_000 + serial.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 3_600_000_000_000)
}

async fn arm(mut sleep: Pin<&mut Sleep>) {
    poll_fn(|context| {
        let _ = sleep.as_mut().poll(context);
        Poll::Ready(())
    })
    .await
}

async fn timer(count: u64) -> Duration {
    let from = tokio::time::Instant::now();
    let mut live = Vec::new();
    for serial in 0..LIVE_TIMERS {
        let mut sleep = Box::pin(tokio::time::sleep_until(deadline(from, serial)));
        arm(sleep.as_mut()).await;
        live.push(sleep);
    }
    let start = Instant::now();
    for serial in 0..count {
        let mut sleep = std::pin::pin!(tokio::time::sleep_until(deadline(from, LIVE_TIMERS + serial)));
        arm(sleep.as_mut()).await;
    }
    let elapsed = start.elapsed();
    drop(live);
    elapsed
}

async fn channel(count: u64) -> Duration {
    let (sender, mut receiver) = mpsc::channel(CHANNEL_CAPACITY);
    let start = Instant::now();
    let producer = tokio::spawn(async move {
        for value in 0..count {
            sender.send(value).await.expect("the receiver lives");
        }
    });
    let mut sum = 0u64;
    while let Some(value) = receiver.recv().await {
        sum = sum.wrapping_add(value);
    }
    producer.await.expect("no panic");
    black_box(sum);
    start.elapsed()
}

async fn mutex(count: u64) -> Duration {
    let shared = Mutex::new(0u64);
    let start = Instant::now();
    for _ in 0..count {
        *shared.lock().await += 1;
    }
    black_box(shared.into_inner());
    start.elapsed()
}

const CASES: [&str; 6] = ["await_child", "spawn_join", "yield", "timer", "channel", "mutex"];

async fn run(case: &str, count: u64) -> Duration {
    match case {
        "await_child" => await_child(count).await,
        "spawn_join" => spawn_join(count).await,
        "yield" => yield_of_two(count).await,
        "timer" => timer(count).await,
        "channel" => channel(count).await,
        "mutex" => mutex(count).await,
        _ => panic!("no case {case}"),
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.len() < 2 {
        println!("{}", CASES.join("\n"));
        return;
    }
    let count: u64 = words[0].parse().expect("a number of iterations");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    for case in &words[1..] {
        let spent = runtime.block_on(run(case, count));
        println!("{case} {:.4}", spent.as_nanos() as f64 / count as f64);
    }
}
