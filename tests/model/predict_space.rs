//! What the calls of an `AddressSpace` must answer: each is a series of intrinsics.

use super::operation::{Answer, Call, Seen};
use super::reference::{Item, World};
use sva_os::Violation;
use sva_os::address::{Frame, Page};
use sva_os::frame::Kind;
use sva_os::mmu::Rights;

type Predicted = Result<Answer, Violation>;

impl World {
    pub(crate) fn answer_space(&mut self, cpu: usize, call: &Call) -> Predicted {
        if let Call::SpaceNew(root) = *call {
            let answer = self.declare(root, Kind::Root)?;
            self.spaces.insert(root);
            return Ok(answer);
        }
        match *call {
            Call::SpaceMap(root, page, frame, rights, ref source) if self.spaces.contains(&root) => {
                let mut source = source.clone();
                let answer = self.space_map(root, page, frame, rights, &mut source);
                Ok(Answer::Left(source, Box::new(answer.into())))
            }
            Call::SpaceMapRange(root, first, frames, rights, ref source) if self.spaces.contains(&root) => {
                let mut source = source.clone();
                let mut done = 0;
                let mut refused = None;
                for frame in frames.iter() {
                    let page = first.checked_add(done).ok_or(Violation::RangeTooLong(first.number()));
                    let mapped = page.and_then(|page| self.space_map(root, page, frame, rights, &mut source));
                    if let Err(violation) = mapped {
                        refused = Some(violation);
                        break;
                    }
                    done += 1;
                }
                Ok(Answer::Left(source, Box::new(Answer::Progress(done, refused, Vec::new()))))
            }
            Call::SpaceUnmap(root, page) if self.spaces.contains(&root) => {
                let table = self.leaf_table(root, page)?;
                self.unmap(table, self.shape.index(1, page)).map(Answer::Leaf)
            }
            Call::SpaceUnmapRange(root, pages) if self.spaces.contains(&root) => {
                let (mut done, mut leaves) = (0, Vec::new());
                for page in pages.iter() {
                    let table = self.leaf_table(root, page);
                    match table.and_then(|table| self.unmap(table, self.shape.index(1, page))) {
                        Ok(leaf) => leaves.push(leaf),
                        Err(Violation::EntryEmpty(_) | Violation::NoTable(_)) => {}
                        Err(violation) => return Ok(Answer::Progress(done, Some(violation), leaves)),
                    }
                    done += 1;
                }
                Ok(Answer::Progress(done, None, leaves))
            }
            Call::SpaceProtect(root, page, rights) if self.spaces.contains(&root) => {
                let table = self.leaf_table(root, page)?;
                self.protect(table, self.shape.index(1, page), rights)
            }
            Call::SpaceReplace(root, page, frame, rights) if self.spaces.contains(&root) => {
                let table = self.leaf_table(root, page)?;
                self.replace(table, self.shape.index(1, page), frame, rights)
            }
            Call::SpaceTranslate(root, page) if self.spaces.contains(&root) => self.translate(root, page),
            Call::SpaceLoad(root) if self.spaces.contains(&root) => self.load_root(cpu, root),
            Call::SpaceTableCount(root) if self.spaces.contains(&root) => {
                let is_root = self.kind(root) == Kind::Root;
                Ok(Answer::Number(if is_root { self.tables_from(root) } else { 0 }))
            }
            Call::SpaceDestroy(root) if self.spaces.contains(&root) => {
                let (mut source, mut leaves) = (Vec::new(), Vec::new());
                let refused = self.destroy(root, &mut source, &mut leaves).err();
                let done = leaves.iter().map(|_| 1).sum();
                Ok(Answer::Left(source, Box::new(Answer::Progress(done, refused, leaves))))
            }
            // There is no such space any more: nothing is called.
            _ => Ok(Answer::NoLeaf),
        }
    }

    fn check_user(&self, page: Page) -> Result<(), Violation> {
        if self.is_user_page(page) { Ok(()) } else { Err(Violation::NotAUserPage(page)) }
    }

    /// The table of leaves that serves `page`.
    fn leaf_table(&self, root: Frame, page: Page) -> Result<Frame, Violation> {
        self.check_user(page)?;
        let mut table = root;
        for level in (2..=self.shape.levels).rev() {
            match self.read_entry(table, self.shape.index(level, page))? {
                Answer::Table(child) => table = child,
                _ => return Err(Violation::NoTable(page)),
            }
        }
        Ok(table)
    }

    /// Maps, with tables made of what `source` has last; or undoes it all.
    fn space_map(
        &mut self,
        root: Frame,
        page: Page,
        frame: Frame,
        rights: Rights,
        source: &mut Vec<Frame>,
    ) -> Predicted {
        self.check_user(page)?;
        let mut made = Vec::new();
        let table = self.leaf_table_or_make(root, page, source, &mut made);
        let mapped = table.and_then(|table| self.map(table, self.shape.index(1, page), frame, rights));
        if mapped.is_err() {
            for (parent, index) in made.into_iter().rev() {
                let table = self.unlink(parent, index)?;
                self.remove_table(table)?;
                source.push(table);
            }
        }
        mapped
    }

    fn leaf_table_or_make(
        &mut self,
        root: Frame,
        page: Page,
        source: &mut Vec<Frame>,
        made: &mut Vec<(Frame, u32)>,
    ) -> Result<Frame, Violation> {
        let mut parent = root;
        for level in (2..=self.shape.levels).rev() {
            let index = self.shape.index(level, page);
            if let Answer::Table(child) = self.read_entry(parent, index)? {
                parent = child;
                continue;
            }
            let table = source.pop().ok_or(Violation::NoTable(page))?;
            let linked = self.declare_table(table, level - 1).and_then(|_| {
                let linked = self.link(parent, index, table);
                if linked.is_err() {
                    self.remove_table(table)?;
                }
                linked
            });
            if let Err(violation) = linked {
                source.push(table);
                return Err(violation);
            }
            made.push((parent, index));
            parent = table;
        }
        Ok(parent)
    }

    /// How many tables hang together from `table` on.
    fn tables_from(&self, table: Frame) -> u32 {
        let items = self.tables.get(&table).into_iter().flat_map(|entries| entries.values());
        let below = items.map(|item| match item {
            Item::Table(child) => self.tables_from(*child),
            Item::Leaf(..) => 0,
        });
        below.sum::<u32>() + 1
    }

    fn destroy(
        &mut self,
        root: Frame,
        source: &mut Vec<Frame>,
        leaves: &mut Vec<Seen>,
    ) -> Result<(), Violation> {
        if self.counts(root).1 != 0 {
            return Err(Violation::RootInUse(root));
        }
        self.empty(root, self.shape.levels, source, leaves)?;
        self.remove_root(root)?;
        self.spaces.remove(&root);
        source.push(root);
        Ok(())
    }

    fn empty(
        &mut self,
        table: Frame,
        level: u8,
        source: &mut Vec<Frame>,
        leaves: &mut Vec<Seen>,
    ) -> Result<(), Violation> {
        let (first, count) =
            if level == self.shape.levels { self.user_slots() } else { (0, self.shape.entries()) };
        for index in first..first + count {
            match self.read_entry(table, index)? {
                Answer::Leaf(_) => leaves.push(self.unmap(table, index)?),
                Answer::Table(child) => {
                    self.empty(child, level - 1, source, leaves)?;
                    let table = self.unlink(table, index)?;
                    self.remove_table(table)?;
                    source.push(table);
                }
                _ => {}
            }
        }
        Ok(())
    }
}
