//! All processes and tasks by number.

use super::{Process, Task};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use spin::Mutex;

struct Table {
    processes: BTreeMap<u32, Arc<Process>>,
    tasks: BTreeMap<u32, Arc<Task>>,
    last: u32,
    made: u64,
}

static TABLE: Mutex<Table> =
    Mutex::new(Table { processes: BTreeMap::new(), tasks: BTreeMap::new(), last: 0, made: 0 });

/// Numbers are below this, as Linux's are by default.
const END: u32 = 32_768;
/// Where numbers begin anew: those below stay for what is started first.
const FIRST_AGAIN: u32 = 300;

/// A number that no process, task or group has.
pub fn new_id() -> u32 {
    let mut table = TABLE.lock();
    loop {
        table.last = if table.last + 1 < END { table.last + 1 } else { FIRST_AGAIN };
        let id = table.last;
        let is_used = table.tasks.contains_key(&id)
            || table.processes.contains_key(&id)
            || table.processes.values().any(|process| {
                let state = process.state.lock();
                state.group == id || state.session == id
            });
        // There are fewer than 1024 of each.
        if !is_used {
            return id;
        }
    }
}

/// Makes a process known.
pub fn add_process(process: Arc<Process>) {
    let mut table = TABLE.lock();
    table.made += 1;
    table.processes.insert(process.id, process);
}

/// Makes a task known.
pub fn add_task(task: Arc<Task>) {
    TABLE.lock().tasks.insert(task.id, task);
}

/// Forgets a process, which nobody waits for any more.
pub fn remove_process(id: u32) {
    // Dropped when the table is unlocked.
    let removed = TABLE.lock().processes.remove(&id);
    drop(removed);
}

/// Forgets a task, which has ended.
pub fn remove_task(id: u32) {
    let removed = TABLE.lock().tasks.remove(&id);
    drop(removed);
}

/// The process with this number.
pub fn process(id: u32) -> Option<Arc<Process>> {
    TABLE.lock().processes.get(&id).cloned()
}

/// The task with this number.
pub fn task(id: u32) -> Option<Arc<Task>> {
    TABLE.lock().tasks.get(&id).cloned()
}

/// The process whose task is called `turn` where turns are given.
pub fn of_turn(turn: u32) -> Option<Arc<Process>> {
    let table = TABLE.lock();
    table.tasks.values().find(|task| task.turn().0 == turn).map(|task| task.process.clone())
}

/// The lowest number of a process above `id`.
pub fn after(id: u32) -> Option<u32> {
    TABLE.lock().processes.range(id.checked_add(1)?..).next().map(|(id, _)| *id)
}

/// How many processes were ever made, and the last number that was given.
pub fn made() -> (u64, u32) {
    let table = TABLE.lock();
    (table.made, table.last)
}

/// All processes.
pub fn processes() -> Vec<Arc<Process>> {
    TABLE.lock().processes.values().cloned().collect()
}

/// How many processes there are, and how many tasks.
pub fn counts() -> (usize, usize) {
    let table = TABLE.lock();
    (table.processes.len(), table.tasks.len())
}

/// Those of group `id`. Who has ended and was not asked for yet is one of them.
pub fn group(id: u32) -> Vec<Arc<Process>> {
    let mut members = processes();
    members.retain(|process| process.state.lock().group == id);
    members
}
