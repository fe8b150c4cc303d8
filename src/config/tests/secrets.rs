//! What tells that a secret was changed, which the text of a configuration does not show.

use super::*;

#[test]
fn a_changed_secret_is_told_by_its_key_alone() {
    let with = |auth: &str| read(None, &format!("{REGISTRY}{auth}"), &Overrides::default()).unwrap();
    let (none, old, new) = (with(""), with("auth = \"user:old\""), with("auth = \"user:new\""));
    assert_eq!(old.to_toml(), new.to_toml());
    assert_eq!(old.changed_secrets(&new), ["registry.auth"]);
    assert_eq!(
        (none.changed_secrets(&new), new.changed_secrets(&none)),
        (vec!["registry.auth".to_owned()], vec!["registry.auth".to_owned()])
    );
    assert_eq!(old.changed_secrets(&with("auth = \"user:old\"")), [""; 0]);
}
