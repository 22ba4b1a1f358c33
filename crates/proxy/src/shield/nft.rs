//! The few messages of nf_tables that are needed, in the kernel's form: attributes of a length, a type and a value, padded to
//! four bytes, numbers in network order.

use api::Cidr;

const HEADER_BYTES: usize = 16;
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
const NEW_RULE: u16 = SUBSYSTEM << 8 | 6;
const ERROR: u16 = 2;

const REQUEST: u16 = 1;
const ACK: u16 = 4;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;

const NESTED: u16 = 0x8000;
const FAMILY_IPV4: u8 = 2;

/// The table goes when the socket is closed that made it.
const TABLE_FLAG_OWNER: u32 = 2;
const HOOK_INPUT: u32 = 1;
const ACCEPT: u32 = 1;
const PRIORITY_FILTER: u32 = 0;

const CHAIN: &str = "input";
const REGISTER: u32 = 1;
const BASE_NETWORK: u32 = 1;
const DESTINATION_OFFSET: u32 = 16;
const META_PROTOCOL: u32 = 16;
const SOCKET_WILDCARD: u32 = 2;
const REJECT_ICMP: u32 = 0;
const REJECT_RESET: u32 = 1;
const ICMP_PORT_UNREACHABLE: u8 = 3;
const TCP: u8 = 6;

/// A whole transaction, and the number of the message whose answer comes last.
pub(super) fn batch(table: &str, ranges: &[Cidr]) -> (Vec<u8>, u32) {
    let mut batch = Batch::default();
    batch.message(BATCH_BEGIN, REQUEST, 0, SUBSYSTEM, &[]);
    let flags = number(2, TABLE_FLAG_OWNER);
    batch.message(NEW_TABLE, REQUEST | ACK | CREATE, FAMILY_IPV4, 0, &[text(1, table), flags].concat());
    let hook = nested(4, &[number(1, HOOK_INPUT), number(2, PRIORITY_FILTER)]);
    let chain = [text(1, table), text(3, CHAIN), hook, number(5, ACCEPT), text(7, "filter")];
    batch.message(NEW_CHAIN, REQUEST | ACK | CREATE, FAMILY_IPV4, 0, &chain.concat());
    for range in ranges {
        for is_tcp in [true, false] {
            let rule = [text(1, table), text(2, CHAIN), nested(4, &rule(*range, is_tcp))];
            batch.message(NEW_RULE, REQUEST | ACK | CREATE | APPEND, FAMILY_IPV4, 0, &rule.concat());
        }
    }
    let last = batch.count - 1;
    batch.message(BATCH_END, REQUEST, 0, SUBSYSTEM, &[]);
    (batch.bytes, last)
}

/// Refuses what is for the range and would go to a socket that is bound to no address.
fn rule(range: Cidr, is_tcp: bool) -> Vec<Vec<u8>> {
    let mask = u32::MAX.checked_shl(32 - u32::from(range.prefix())).unwrap_or(0).to_be_bytes();
    let mut rule = vec![
        expression(
            "payload",
            &[number(1, REGISTER), number(2, BASE_NETWORK), number(3, DESTINATION_OFFSET), number(4, 4)],
        ),
        expression(
            "bitwise",
            &[number(1, REGISTER), number(2, REGISTER), number(3, 4), value(4, &mask), value(5, &[0; 4])],
        ),
        equals(&range.base().octets()),
        expression("socket", &[number(1, SOCKET_WILDCARD), number(2, REGISTER)]),
        equals(&[1]),
    ];
    if is_tcp {
        rule.push(expression("meta", &[number(1, REGISTER), number(2, META_PROTOCOL)]));
        rule.push(equals(&[TCP]));
        rule.push(expression("reject", &[number(1, REJECT_RESET)]));
    } else {
        rule.push(expression("reject", &[number(1, REJECT_ICMP), attribute(2, &[ICMP_PORT_UNREACHABLE])]));
    }
    rule
}

fn equals(wanted: &[u8]) -> Vec<u8> {
    expression("cmp", &[number(1, REGISTER), number(2, 0), value(3, wanted)])
}

fn expression(name: &str, of: &[Vec<u8>]) -> Vec<u8> {
    nested(1, &[text(1, name), nested(2, of)])
}

fn value(kind: u16, bytes: &[u8]) -> Vec<u8> {
    nested(kind, &[attribute(1, bytes)])
}

fn nested(kind: u16, of: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | NESTED, &of.concat())
}

fn number(kind: u16, number: u32) -> Vec<u8> {
    attribute(kind, &number.to_be_bytes())
}

fn text(kind: u16, text: &str) -> Vec<u8> {
    attribute(kind, &[text.as_bytes(), &[0]].concat())
}

fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + payload.len()).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend_from_slice(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    count: u32,
}

impl Batch {
    fn message(&mut self, kind: u16, flags: u16, family: u8, resource: u16, attributes: &[u8]) {
        let length = u32::try_from(HEADER_BYTES + 4 + attributes.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&self.count.to_ne_bytes());
        self.bytes.extend_from_slice(&0_u32.to_ne_bytes());
        self.bytes.extend_from_slice(&[family, 0]);
        self.bytes.extend_from_slice(&resource.to_be_bytes());
        self.bytes.extend_from_slice(attributes);
        self.count += 1;
    }
}

/// The numbers of the messages that are answered, and what became of each: 0, or an error below it.
pub(super) fn answers(mut bytes: &[u8]) -> Vec<(u32, i32)> {
    let mut answers = Vec::new();
    let word = |bytes: &[u8], at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    while let (Some(length), Some(kind), Some(number)) = (word(bytes, 0), word(bytes, 4), word(bytes, 8)) {
        if let Some(code) = word(bytes, HEADER_BYTES).filter(|_| kind as u16 == ERROR) {
            answers.push((number, code.cast_signed()));
        }
        let length = (length as usize).max(HEADER_BYTES).next_multiple_of(4);
        bytes = bytes.get(length..).unwrap_or_default();
    }
    answers
}
