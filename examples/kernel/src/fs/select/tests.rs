use super::*;
use crate::errno::Errno;
use crate::fs::poll::tests::table;
use crate::wait::tests::woken;

#[test]
fn sets_are_selected_from() {
    let table = table();
    let set = |bits: u32| FdSet::from_words(&[bits]);
    let mut asked = [set(0b11), set(0b11), set(0b11)];
    assert_eq!(select(&table, 2, &mut asked), Ok(1));
    assert_eq!(asked, [set(0), set(0b10), set(0)]);
    table.get(1).unwrap().write(1, &mut &b"x"[..]).unwrap();
    let mut asked = [set(0b01), set(0b10), set(0)];
    assert_eq!(select(&table, 2, &mut asked), Ok(2));
    assert_eq!(asked, [set(0b01), set(0b10), set(0)]);
    // What lies beyond the count is not looked at.
    let mut asked = [set(0b101), set(0b10), set(0)];
    assert_eq!(select(&table, 1, &mut asked), Ok(1));
    assert_eq!(asked, [set(0b001), set(0), set(0)]);
    let mut asked = [set(0b100), set(0), set(0)];
    assert_eq!(select(&table, 3, &mut asked), Err(Errno::EBADF));
    assert_eq!(asked[0], set(0b100), "an error changes nothing");
    woken();
    let asked = [set(0b01), set(0), set(0)];
    watch(&table, 1, &asked, TaskId(1));
    table.get(1).unwrap().write(1, &mut &b"x"[..]).unwrap();
    assert_eq!(woken(), [TaskId(1)]);
}
