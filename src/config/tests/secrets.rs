//! What tells that a secret was changed, which the text of a configuration does not show.

use super::*;

#[test]
fn a_changed_secret_is_told_by_its_key_alone() {
    let with = |auth: &str| read(None, &format!("{REGISTRY}{auth}"), &Overrides::default()).unwrap();
    let (none, old, new) = (with(""), with("auth = \"user:old\""), with("auth = \"user:new\""));
    assert_eq!(old.to_toml(), new.to_toml());
    assert_eq!(old.wording().changed_secrets(new.wording()), ["registry.auth"]);
    assert_eq!(
        (none.wording().changed_secrets(new.wording()), new.wording().changed_secrets(none.wording())),
        (vec!["registry.auth".to_owned()], vec!["registry.auth".to_owned()])
    );
    assert_eq!(old.wording().changed_secrets(with("auth = \"user:old\"").wording()), [""; 0]);
}
