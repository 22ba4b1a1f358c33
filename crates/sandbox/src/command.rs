//! Runs a command from start to end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::OwnedSemaphorePermit;
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p3::bindings::Command;

use crate::books::{Books, Exit};
use crate::cpu::Metered;
use crate::guest::{CoreGuest, Files, Guest};
use crate::image::{Image, Program};
use crate::spec::Spec;
use crate::trap;

/// The result of a guest, and whether it was refused memory on the way.
struct Run {
    result: wasmtime::Result<Result<(), ()>>,
    refused_memory: bool,
}

/// Runs on the guests' threads until the command ends or is killed, and records how.
pub(crate) async fn run(spec: Spec, books: Arc<Books>, permit: OwnedSemaphorePermit) {
    let (meter, ticker) = (Arc::clone(&books.meter), Arc::clone(&books.ticker));
    let work = Metered::new(Box::pin(attempt(&spec, &books)), meter, ticker);
    let exit = tokio::select! {
        biased;
        () = books.killed() => books.forced_exit(),
        run = work => judge(&run, &books),
    };
    if !exit.message.is_empty() {
        books.log.say(&exit.message);
    }
    drop(permit);
    books.end(exit);
}

async fn attempt(spec: &Spec, books: &Arc<Books>) -> Run {
    let image: &Image = &spec.image;
    match image.program() {
        Program::Core(pre) => match CoreGuest::store(image.engine(), spec.allowed(), books) {
            Ok(mut store) => {
                let result = run_core(pre, &mut store).await;
                Run { result: result.map(Ok), refused_memory: store.data().was_refused_memory() }
            }
            Err(error) => Run { result: Err(error.into()), refused_memory: false },
        },
        Program::RunP2(_) | Program::RunP3(_) | Program::Http(_) => {
            match Guest::store(image.engine(), spec.allowed(), books, Files::OwnThreads) {
                Ok(mut store) => {
                    let result = run_component(image.program(), &mut store).await;
                    Run { result, refused_memory: store.data().was_refused_memory() }
                }
                Err(error) => Run { result: Err(error.into()), refused_memory: false },
            }
        }
    }
}

async fn run_core(
    pre: &wasmtime::InstancePre<CoreGuest>,
    store: &mut wasmtime::Store<CoreGuest>,
) -> wasmtime::Result<()> {
    let instance = pre.instantiate_async(&mut *store).await?;
    let start = instance.get_typed_func::<(), ()>(&mut *store, "_start")?;
    start.call_async(store, ()).await
}

async fn run_component(program: &Program, store: &mut wasmtime::Store<Guest>) -> wasmtime::Result<Result<(), ()>> {
    match program {
        Program::RunP2(pre) => {
            let command = pre.instantiate_async(&mut *store).await?;
            command.wasi_cli_run().call_run(store).await
        }
        Program::RunP3(pre) => {
            let instance = pre.instantiate_async(&mut *store).await?;
            let command = Command::new(&mut *store, &instance)?;
            store.run_concurrent(async move |store| command.wasi_cli_run().call_run(store).await).await?
        }
        Program::Core(_) | Program::Http(_) => Err(wasmtime::format_err!("the image is not a command component")),
    }
}

fn judge(run: &Run, books: &Books) -> Exit {
    let exit = match &run.result {
        Ok(Ok(())) => Exit::with_code(0),
        Ok(Err(())) => Exit::with_code(1),
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(exit) => Exit::with_code(exit.0),
            None if books.meter.is_killed() => return books.forced_exit(),
            None => {
                books.traps.fetch_add(1, Ordering::Relaxed);
                Exit::trapped(trap::describe(error))
            }
        },
    };
    if run.refused_memory && exit.code != 0 { books.out_of_memory() } else { exit }
}
