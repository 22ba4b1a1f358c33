//! Lists and sets: Kubernetes' own functions, and CEL's extensions `lists` and `sets`.

use std::cmp::Ordering;

use super::Line;
use crate::cel::{
    fuel::{Fault, Fuel},
    value::{List, Value},
};

pub(super) const TABLE: &[Line] = &[
    (&["list<A>:isSorted() bool"], is_sorted),
    (
        &["list<int>:sum() int", "list<uint>:sum() uint", "list<double>:sum() double", "list<duration>:sum() duration"],
        sum,
    ),
    (&["list<A>:min() A"], min),
    (&["list<A>:max() A"], max),
    (&["list<A>:slice(int, int) list<A>"], slice),
    (&["list<A>:flatten() list<dyn>", "list<A>:flatten(int) list<dyn>"], flatten),
    (&["list<A>:sort() list<A>"], sorted),
    (&["list<A>:distinct() list<A>"], distinct),
    (&["list<A>:reverse() list<A>", "string:reverse() string"], reverse),
    (&["lists.range(int) list<int>"], range),
    (&["sets.contains(list<A>, list<A>) bool"], set_contains),
    (&["sets.equivalent(list<A>, list<A>) bool"], set_equivalent),
    (&["sets.intersects(list<A>, list<A>) bool"], set_intersects),
];

type Outcome<'a> = Result<Value<'a>, Fault>;

fn list<'v, 'a>(args: &'v [Value<'a>], fuel: &mut Fuel) -> Result<&'v List<'a>, Fault> {
    let [Value::List(list), ..] = args else { return Err(Fault::overload()) };
    fuel.burn(list.len())?;
    Ok(list)
}

fn order<'a>(one: &Value<'a>, other: &Value<'a>, fuel: &mut Fuel) -> Result<Ordering, Fault> {
    one.order(other, fuel)?.ok_or_else(Fault::overload)
}

fn is_sorted<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let items: Vec<Value<'a>> = list(args, fuel)?.iter().collect();
    for pair in items.windows(2) {
        if order(&pair[0], &pair[1], fuel)?.is_gt() {
            return Ok(Value::Bool(false));
        }
    }
    Ok(Value::Bool(true))
}

fn sum<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let plus = super::find("_+_").ok_or_else(Fault::overload)?;
    let mut sum: Option<Value<'a>> = None;
    for item in list(args, fuel)?.iter() {
        sum = Some(match sum {
            None => item,
            Some(sum) => (plus.run)(&[sum, item], fuel)?,
        });
    }
    Ok(sum.unwrap_or(Value::Int(0)))
}

fn extreme<'a>(args: &[Value<'a>], fuel: &mut Fuel, name: &str, wanted: Ordering) -> Outcome<'a> {
    let mut best: Option<Value<'a>> = None;
    for item in list(args, fuel)?.iter() {
        let better = match &best {
            None => true,
            Some(best) => order(&item, best, fuel)? == wanted,
        };
        if better {
            best = Some(item);
        }
    }
    best.ok_or_else(|| Fault::value(format!("{name} called on empty list")))
}

fn min<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    extreme(args, fuel, "min", Ordering::Less)
}

fn max<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    extreme(args, fuel, "max", Ordering::Greater)
}

fn slice<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let all = list(args, fuel)?;
    let [_, Value::Int(start), Value::Int(end)] = args else { return Err(Fault::overload()) };
    let place = |number: &i64| usize::try_from(*number).ok().filter(|place| *place <= all.len());
    match (place(start), place(end)) {
        (Some(start), Some(end)) if start <= end => {
            Ok((start..end).filter_map(|place| all.get(place)).collect::<Vec<_>>().into())
        }
        _ => Err(Fault::value(format!("cannot slice({start}, {end}), list is length {}", all.len()))),
    }
}

/// How many levels of lists are flattened at most.
const LEVELS_MAX: i64 = 32;

fn flatten<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let levels = match args.get(1) {
        None => 1,
        Some(Value::Int(levels)) if (0..=LEVELS_MAX).contains(levels) => *levels,
        Some(_) => return Err(Fault::value(format!("level must be between 0 and {LEVELS_MAX}"))),
    };
    let mut flat = Vec::new();
    flatten_into(list(args, fuel)?, levels, &mut flat, fuel)?;
    Ok(flat.into())
}

fn flatten_into<'a>(list: &List<'a>, levels: i64, into: &mut Vec<Value<'a>>, fuel: &mut Fuel) -> Result<(), Fault> {
    for item in list.iter() {
        fuel.burn(1)?;
        match item {
            Value::List(inner) if levels > 0 => flatten_into(&inner, levels - 1, into, fuel)?,
            other => into.push(other),
        }
    }
    Ok(())
}

/// Sorts by what stands before each value. Pays for the comparisons as they come.
pub(in crate::cel) fn sort<'a>(keyed: &mut [(Value<'a>, Value<'a>)], fuel: &mut Fuel) -> Result<(), Fault> {
    let mut fault = None;
    keyed.sort_by(|(one, _), (other, _)| {
        order(one, other, fuel).unwrap_or_else(|why| {
            fault.get_or_insert(why);
            Ordering::Equal
        })
    });
    fault.map_or(Ok(()), Err)
}

fn sorted<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let mut keyed: Vec<_> = list(args, fuel)?.iter().map(|item| (item.clone(), item)).collect();
    sort(&mut keyed, fuel)?;
    Ok(keyed.into_iter().map(|(_, item)| item).collect::<Vec<_>>().into())
}

fn distinct<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let mut kept: Vec<Value<'a>> = Vec::new();
    for item in list(args, fuel)?.iter() {
        let mut known = false;
        for other in &kept {
            known = known || other.same(&item, fuel)?;
        }
        if !known {
            kept.push(item);
        }
    }
    Ok(kept.into())
}

fn reverse<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    if let [Value::Text(text)] = args {
        fuel.bytes(text.len())?;
        return Ok(Value::from(text.chars().rev().collect::<String>()));
    }
    let mut items: Vec<Value<'a>> = list(args, fuel)?.iter().collect();
    items.reverse();
    Ok(items.into())
}

fn range<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let [Value::Int(count)] = args else { return Err(Fault::overload()) };
    fuel.burn(usize::try_from(*count).unwrap_or_default())?;
    Ok((0..*count).map(Value::Int).collect::<Vec<_>>().into())
}

/// Whether all of the second are in the first.
fn covers<'a>(one: &List<'a>, other: &List<'a>, fuel: &mut Fuel) -> Result<bool, Fault> {
    for item in other.iter() {
        if !one.contains(&item, fuel)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn set_contains<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let [Value::List(one), Value::List(other)] = args else { return Err(Fault::overload()) };
    covers(one, other, fuel).map(Value::Bool)
}

fn set_equivalent<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let [Value::List(one), Value::List(other)] = args else { return Err(Fault::overload()) };
    Ok(Value::Bool(covers(one, other, fuel)? && covers(other, one, fuel)?))
}

fn set_intersects<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let [Value::List(one), Value::List(other)] = args else { return Err(Fault::overload()) };
    for item in other.iter() {
        if one.contains(&item, fuel)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}
