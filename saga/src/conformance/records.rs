//! Claims about records: keys, values, order and size.

use bytes::Bytes;

use super::{
    Outcome, Reopen, Subject,
    fixture::{bytes, ensure_eq, pattern, put, remove, writes_only},
    world::{Place, World},
};
use crate::{
    Store,
    store::{KEY_BYTES_MAX, VALUE_BYTES_MAX},
};

const HERE: Place = (0, 0);

/// A put creates or replaces, a remove takes away and may find nothing, and what was removed can be put again.
pub async fn records_are_put_overwritten_and_removed<S: Subject>(subject: &S) -> Outcome {
    let store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    let steps = [
        vec![remove("a")],
        vec![put("a", "1"), put("b", "1")],
        vec![put("a", "longer than before")],
        vec![put("a", "2"), remove("b")],
        vec![remove("b")],
        vec![remove("a"), put("b", "3")],
        vec![put("a", "4")],
        vec![put("a", "")],
        vec![remove("a"), remove("b")],
    ];
    for writes in steps {
        world.commit(&store, HERE, writes_only(writes)).await?;
        world.check_place(&store, HERE).await?;
    }
    Ok(())
}

/// A load has one answer for each key, in the order asked: also for a key that is missing, or asked for twice, and
/// for no keys at all.
pub async fn a_load_answers_in_the_order_asked<S: Subject>(subject: &S) -> Outcome {
    let store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    let writes = ["b", "a", "d"].map(|key| put(key, format!("value of {key}")));
    world.commit(&store, HERE, writes_only(writes)).await?;
    let orders: [&[&'static str]; 5] =
        [&[], &["a", "b", "c", "d"], &["d", "c", "b", "a"], &["c", "a", "c", "a", "a"], &["e"]];
    for order in orders {
        let keys: Vec<Bytes> = order.iter().copied().map(bytes).collect();
        let snapshot = store.load(0, &keys).await?;
        world.at(HERE).check_snapshot(0, &keys, snapshot)?;
    }
    Ok(())
}

/// Records whose key begins with [`RESIDENT`](crate::store::RESIDENT) are read all at once, and no others, as they are
/// now; a load has them too.
pub async fn residents_are_read_all_at_once<S: Subject>(subject: &S) -> Outcome {
    let store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    let many = (0..300).map(|index| put(format!("*many-{index}"), format!("value-{index}")));
    let steps = [
        vec![remove("*a")],
        vec![put("*a", "1"), put("b", "1"), put("a", "1"), put("*", ""), put("+c", "1"), put("a*", "1")],
        vec![put("*a", "longer than before"), put("*b", "1"), remove("*")],
        vec![remove("*a"), put("*c", "2"), put(vec![b'*', 0xff, 0], "any bytes")],
        vec![put("*a", "again"), remove("*b"), remove("b")],
        many.collect(),
        (0..300).filter(|index| index % 7 != 0).map(|index| remove(format!("*many-{index}"))).collect(),
    ];
    for writes in steps {
        world.commit(&store, HERE, writes_only(writes)).await?;
        world.check_place(&store, HERE).await?;
        world.check_place(&store, (0, 1)).await?;
    }
    let store = subject.reopen(store, Reopen::Clean).await;
    world.close();
    world.check_place(&store, HERE).await
}

/// Keys up to [`KEY_BYTES_MAX`] and values up to [`VALUE_BYTES_MAX`], the empty value too, come back as they were.
pub async fn keys_and_values_of_every_size_are_kept<S: Subject>(subject: &S) -> Outcome {
    let store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    let key_sizes = (1..=KEY_BYTES_MAX).step_by(9).chain([KEY_BYTES_MAX - 1, KEY_BYTES_MAX]);
    let keys = key_sizes.map(|size| put(pattern(size, 1), format!("key of {size} bytes")));
    world.commit(&store, HERE, writes_only(keys.collect::<Vec<_>>().into_iter().rev())).await?;
    world.check_place(&store, HERE).await?;
    for size in [0, 1, 127, 128, 255, 256, 600, 4_095, 4_096, 20_000, 65_535, VALUE_BYTES_MAX] {
        let write = put(format!("value of {size} bytes"), pattern(size, 2));
        world.commit(&store, HERE, writes_only([write])).await?;
        let changing = put("value of changing size", pattern(VALUE_BYTES_MAX - size, 3));
        world.commit(&store, HERE, writes_only([changing])).await?;
    }
    world.check_place(&store, HERE).await?;
    let many_large = (0..16).map(|index| put(format!("large-{index}"), pattern(VALUE_BYTES_MAX, index)));
    world.commit(&store, HERE, writes_only(many_large)).await?;
    world.check_place(&store, HERE).await
}

/// Keys and values are any bytes: every byte, no valid UTF-8, separators of all sorts, one key the beginning of
/// another.
pub async fn keys_and_values_of_any_bytes_are_kept<S: Subject>(subject: &S) -> Outcome {
    let store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    let single_bytes = (0..=u8::MAX).map(|byte| put(vec![byte], vec![byte, 0, byte, 0xff]));
    world.commit(&store, HERE, writes_only(single_bytes)).await?;
    let alike: [&'static [u8]; 16] = [
        b"key",
        b"key\0",
        b"key\0\0",
        b"key\xff",
        b"ke",
        b"KEY",
        b" key",
        b"key ",
        b"k/e/y",
        b"k:e:y",
        b"{key}",
        b"key\n",
        b"key\r\n",
        b"'key\"",
        b"\xc3\x28",
        b"\0\0\0",
    ];
    let alike_writes = alike.map(|key| put(key, [key, b"\0value\xff".as_slice()].concat()));
    world.commit(&store, HERE, writes_only(alike_writes)).await?;
    world.check_place(&store, HERE).await?;
    for key in alike {
        world.commit(&store, HERE, writes_only([remove(key)])).await?;
        world.check_place(&store, HERE).await?;
    }
    Ok(())
}

/// A batch of [`Effort::big_batch_writes`](super::Effort::big_batch_writes) writes is one commit like any other, and
/// so many keys are loaded at once.
pub async fn a_big_batch_is_applied_whole<S: Subject>(subject: &S) -> Outcome {
    let store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    let count = subject.effort().big_batch_writes;
    let puts = (0..count).map(|index| put(format!("key-{index}"), format!("value-{index}")));
    let mut batch = writes_only(puts);
    batch.events = (0..count / 10).map(|index| bytes(format!("event-{index}"))).collect();
    world.commit(&store, HERE, batch).await?;
    world.check_place(&store, HERE).await?;
    let changes = (0..count).map(|index| match index % 2 {
        0 => remove(format!("key-{index}")),
        _ => put(format!("key-{index}"), format!("changed-{index}")),
    });
    let committed = world.commit(&store, HERE, writes_only(changes)).await?;
    ensure_eq!(committed.head, 2, "head after two big batches");
    world.check_place(&store, HERE).await
}
