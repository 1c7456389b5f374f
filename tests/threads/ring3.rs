//! What interrupts, borrows and programs bring about.

use super::operation::{Act, Answer, Data, Ending, Interruption, Note, Op, Program, legal, pattern};
use super::predict::{HANDLED, Predicted};
use super::reference::{Cpu, World};
use sva_os::Violation;
use sva_os::address::VirtAddr;
use sva_os::context::{Exit, UserContext, UserException, UserFlags};
use sva_os::interrupt::{ErrorCode, Exception, Line, Vector};

/// EFLAGS (Intel SDM vol. 1, figure 3-8).
const CARRY: u32 = 1 << 0;
const ALWAYS: u32 = 1 << 1;
const PARITY: u32 = 1 << 2;
const ADJUST: u32 = 1 << 4;
const ZERO: u32 = 1 << 6;
const SIGN: u32 = 1 << 7;
const TRAP: u32 = 1 << 8;
const INTERRUPT: u32 = 1 << 9;
const DIRECTION: u32 = 1 << 10;
const OVERFLOW: u32 = 1 << 11;
const ALIGNMENT_CHECK: u32 = 1 << 18;
const IDENTIFICATION: u32 = 1 << 21;
/// A program's own.
const OWN: u32 =
    CARRY | PARITY | ADJUST | ZERO | SIGN | TRAP | DIRECTION | OVERFLOW | ALIGNMENT_CHECK | IDENTIFICATION;

impl Cpu {
    /// How many borrows of per-CPU data there are here.
    pub(crate) fn borrows(&self) -> u32 {
        self.borrowed.iter().map(|borrowed| u32::from(*borrowed)).sum()
    }
}

impl World {
    /// An interrupt or exception in ring 0; whether the CPU takes it.
    pub(crate) fn raise(&mut self, vector: u32, interruption: &Interruption) -> bool {
        let was_on = self.here().interrupts;
        let is_line = (32..48).contains(&vector);
        if is_line && !was_on {
            return false;
        }
        self.here().interrupts = false;
        self.serve(vector, false, interruption);
        self.here().interrupts = was_on;
        true
    }

    /// The handler, and at the tail of the outermost one of a line the hook.
    fn serve(&mut self, vector: u32, from_user: bool, interruption: &Interruption) {
        if !HANDLED.contains(&vector) {
            return;
        }
        self.notes.push(Note::Handler(vector, from_user));
        self.here().handlers += 1;
        self.perform_all(&interruption.handler);
        let here = self.here();
        here.handlers -= 1;
        let is_outermost = here.handlers == 0 && here.borrows() == 0 && here.guards == 0;
        if is_outermost && (32..48).contains(&vector) {
            self.notes.push(Note::Hook);
            self.perform_all(&interruption.hook);
            self.here().interrupts = false;
        }
    }

    pub(crate) fn borrow(&mut self, data: Data, inside: &[Op]) -> Predicted {
        if data == Data::ForTwo && self.caller >= 2 {
            return Err(Violation::CpuCount(2));
        }
        let place = usize::from(data == Data::ForTwo);
        if self.here().borrowed[place] {
            return Err(Violation::PerCpuBorrowed(self.here().borrows()));
        }
        self.here().borrowed[place] = true;
        self.perform_all(inside);
        self.here().borrowed[place] = false;
        Ok(Answer::Done)
    }

    pub(crate) fn run(&mut self, root: u32, program: &Program, interruption: &Interruption) -> Predicted {
        self.where_called()?;
        if root != self.here().root {
            self.check_root(root)?;
            self.here().root = root;
        }
        let was_on = self.here().interrupts;
        let mut context = self.sanitised(program.context);
        self.notes.push(Note::Entered(context));
        for act in &program.acts {
            self.act(&mut context, *act);
        }
        context = self.sanitised(context);
        self.here().interrupts = false;
        let exit = self.exit(program.ending, interruption);
        self.here().interrupts = was_on;
        let current = self.current();
        self.slot_mut(current).context = Some(context);
        self.notes.push(Note::Left(context));
        Ok(Answer::Exit(exit))
    }

    fn act(&mut self, context: &mut UserContext, act: Act) {
        let current = self.current();
        match act {
            Act::UseFp(tag) => {
                self.notes.push(Note::Fp(self.slot(current).fp.to_vec()));
                if let Some(tag) = tag {
                    self.slot_mut(current).fp = legal(pattern(tag));
                }
            }
            Act::Registers(registers, instruction, flags) => {
                context.registers = registers;
                context.instruction = instruction;
                context.flags = UserFlags::new(flags);
            }
            Act::Segment(which, selector) => *selectors(context)[which] = selector,
        }
    }

    /// What ring 3 has of `context`: its own flags, with interrupts on; null where a selector names neither
    /// flat data nor a TLS segment that the running thread has.
    fn sanitised(&self, mut context: UserContext) -> UserContext {
        let tls = self.slot(self.current()).tls;
        let may_have = |selector: u16| match (selector >> 3, selector & 4) {
            (0 | 4, 0) => true,
            (entry @ 7..10, 0) => tls[usize::from(entry) - 7] != 0,
            _ => false,
        };
        assert_eq!(context.flags.bits() & !OWN, INTERRUPT | ALWAYS);
        for selector in selectors(&mut context) {
            *selector = if may_have(*selector) { *selector } else { 0 };
        }
        context
    }

    /// What `run` says of an ending. A handler and the hook are called for a line.
    fn exit(&mut self, ending: Ending, interruption: &Interruption) -> Exit {
        match ending {
            Ending::SystemCall => Exit::SystemCall,
            Ending::Exception(exception, code, address) => Exit::Exception(UserException {
                exception,
                code: ErrorCode::new(exception.vector(), code),
                address: (exception == Exception::PageFault).then_some(VirtAddr::new(address)),
            }),
            Ending::Line(number) => {
                self.serve(32 + number, true, interruption);
                Exit::Interrupt(Line::new(number).expect("a line"))
            }
            Ending::Vector(number) => Exit::Other(Vector::new(number).expect("below 256")),
        }
    }
}

/// DS, ES, FS, GS.
pub(crate) fn selectors(context: &mut UserContext) -> [&mut u16; 4] {
    let UserContext { ds, es, fs, gs, .. } = context;
    [ds, es, fs, gs]
}
