//! Kubernetes' quantities.

use std::cmp::Ordering;

use super::{Line, versions};
use crate::{
    cel::{
        fuel::{Fault, Fuel},
        value::Value,
    },
    quantity::Quantity,
};

pub(super) const TABLE: &[Line] = &[
    (&["quantity(string) quantity"], quantity),
    (&["isQuantity(string) bool"], is_quantity),
    (&["quantity:sign() int"], sign),
    (&["quantity:isInteger() bool"], is_integer),
    (&["quantity:asInteger() int"], as_integer),
    (&["quantity:asApproximateFloat() double"], as_float),
    (&["quantity:add(quantity) quantity", "quantity:add(int) quantity"], add),
    (&["quantity:sub(quantity) quantity", "quantity:sub(int) quantity"], sub),
    (&["quantity:isLessThan(quantity) bool", "semver:isLessThan(semver) bool"], is_less),
    (&["quantity:isGreaterThan(quantity) bool", "semver:isGreaterThan(semver) bool"], is_greater),
    (&["quantity:compareTo(quantity) int", "semver:compareTo(semver) int"], compare_to),
];

type Outcome<'a> = Result<Value<'a>, Fault>;

fn of(args: &[Value<'_>]) -> Result<Quantity, Fault> {
    match args {
        [Value::Quantity(quantity), ..] => Ok(*quantity),
        _ => Err(Fault::overload()),
    }
}

fn quantity<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let [Value::Text(text)] = args else { return Err(Fault::overload()) };
    fuel.bytes(text.len())?;
    text.parse().map(Value::Quantity).map_err(|_| {
        Fault::value("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    })
}

fn is_quantity<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let [Value::Text(text)] = args else { return Err(Fault::overload()) };
    fuel.bytes(text.len())?;
    Ok(Value::Bool(text.parse::<Quantity>().is_ok()))
}

fn sign<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    let order = of(args)?.cmp(&Quantity::ZERO);
    Ok(Value::Int(order as i64))
}

fn is_integer<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    Ok(Value::Bool(of(args)?.is_whole()))
}

fn as_integer<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    let quantity = of(args)?;
    let whole = i64::try_from(quantity.whole()).ok().filter(|_| quantity.is_whole());
    whole.map(Value::Int).ok_or_else(|| Fault::value("cannot convert value to integer"))
}

#[expect(clippy::cast_precision_loss, reason = "approximate is what it is called")]
fn as_float<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    Ok(Value::Double(of(args)?.millis() as f64 / 1_000.0))
}

fn other(args: &[Value<'_>]) -> Result<Quantity, Fault> {
    match args {
        [_, Value::Quantity(quantity)] => Ok(*quantity),
        [_, Value::Int(number)] => Ok(Quantity::from_whole(*number)),
        _ => Err(Fault::overload()),
    }
}

fn add<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    Ok(Value::Quantity(of(args)? + other(args)?))
}

fn sub<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    Ok(Value::Quantity(of(args)? - other(args)?))
}

fn order(args: &[Value<'_>]) -> Result<Ordering, Fault> {
    match args {
        [Value::Quantity(one), Value::Quantity(other)] => Ok(one.cmp(other)),
        [Value::Semver(one), Value::Semver(other)] => Ok(versions::order(one, other)),
        _ => Err(Fault::overload()),
    }
}

fn is_less<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    order(args).map(|order| Value::Bool(order.is_lt()))
}

fn is_greater<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    order(args).map(|order| Value::Bool(order.is_gt()))
}

fn compare_to<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    order(args).map(|order| Value::Int(order as i64))
}
