//! Accounts: made, changed, taken away. The last admin stays.

use super::super::{
    Refusal, State, limits,
    words::{Label, Lang, Sealed},
};
use super::{
    Account, BREAK_GLASS, PeopleChange, Role, Roles, Way, sound_roles, sound_sealed, too_many,
};

pub(super) fn change(state: &mut State, index: u64, change: &PeopleChange) -> Result<(), Refusal> {
    match change {
        PeopleChange::Add {
            name,
            roles,
            shown,
            langs,
            password,
            totp,
        } => {
            let account = Account {
                roles: *roles,
                shown: shown.clone(),
                langs: langs.clone(),
                ways: Vec::new(),
                password: password.clone(),
                totp: totp.clone(),
                totp_used: 0,
                made: state.now,
                generation: index,
                networks: imbl::Vector::new(),
                signed_in: None,
            };
            add(state, name, account)
        }
        PeopleChange::SetRoles { name, roles } => set_roles(state, name, *roles),
        PeopleChange::Describe { name, shown, langs } => {
            sound_langs(langs)?;
            let account = found(state, name)?;
            account.shown = shown.clone();
            account.langs = langs.clone();
            Ok(())
        }
        PeopleChange::SetWays { name, ways } => set_ways(state, name, ways),
        PeopleChange::ProveWay { name, place } => {
            let now = state.now;
            let place = usize::try_from(*place).unwrap_or(usize::MAX);
            let way = found(state, name)?.ways.get_mut(place);
            way.ok_or_else(|| Refusal::unknown("way to reach them"))?
                .proven = Some(now);
            Ok(())
        }
        PeopleChange::Reset {
            name,
            password,
            totp,
        } => reset(state, index, name, (password, totp)),
        PeopleChange::Remove { name } => remove(state, name),
        _ => Err(Refusal::Internal),
    }
}

fn found<'a>(state: &'a mut State, name: &Label) -> Result<&'a mut Account, Refusal> {
    let account = state.people.accounts.get_mut(name);
    account.ok_or_else(|| Refusal::unknown("person"))
}

fn add(state: &mut State, name: &Label, account: Account) -> Result<(), Refusal> {
    if name.as_str().starts_with(BREAK_GLASS) {
        let wanted = format!("a name that does not begin with {BREAK_GLASS}");
        return Err(Refusal::unsound("name", name.to_string(), wanted));
    }
    if state.people.accounts.contains_key(name) {
        let wanted = "a name that nobody has";
        return Err(Refusal::unsound("name", name.to_string(), wanted));
    }
    if state.people.accounts.len() >= limits::ACCOUNTS_MAX {
        return Err(too_many("accounts", limits::ACCOUNTS_MAX));
    }
    sound_roles(account.roles)?;
    sound_langs(&account.langs)?;
    sound_sealed("password", &account.password)?;
    sound_sealed("totp", &account.totp)?;
    state.people.accounts.insert(name.clone(), account);
    Ok(())
}

fn set_roles(state: &mut State, name: &Label, roles: Roles) -> Result<(), Refusal> {
    sound_roles(roles)?;
    let others = state.people.admins_but(name);
    let account = found(state, name)?;
    if account.roles.may(Role::Admin) && !roles.may(Role::Admin) {
        keep_one_admin(name, others)?;
    }
    account.roles = roles;
    Ok(())
}

fn set_ways(state: &mut State, name: &Label, ways: &[Way]) -> Result<(), Refusal> {
    if ways.len() > limits::WAYS_MAX {
        return Err(too_many("ways to reach one person", limits::WAYS_MAX));
    }
    for way in ways {
        sound_sealed("way", &way.address)?;
    }
    found(state, name)?.ways = ways.to_vec();
    Ok(())
}

fn reset(
    state: &mut State,
    index: u64,
    name: &Label,
    (password, totp): (&Sealed, &Sealed),
) -> Result<(), Refusal> {
    sound_sealed("password", password)?;
    sound_sealed("totp", totp)?;
    let account = found(state, name)?;
    account.password = password.clone();
    account.totp = totp.clone();
    account.totp_used = 0;
    account.generation = index;
    state.people.end_sessions(Some(name));
    state.people.knocks.forgive(name);
    Ok(())
}

fn remove(state: &mut State, name: &Label) -> Result<(), Refusal> {
    let others = state.people.admins_but(name);
    if found(state, name)?.roles.may(Role::Admin) {
        keep_one_admin(name, others)?;
    }
    state.people.accounts.remove(name);
    state.people.end_sessions(Some(name));
    state.people.knocks.forgive(name);
    if state
        .people
        .leading
        .as_ref()
        .is_some_and(|it| it.who == *name)
    {
        state.people.leading = None;
    }
    Ok(())
}

fn keep_one_admin(name: &Label, others: usize) -> Result<(), Refusal> {
    if others > 0 {
        return Ok(());
    }
    let found = format!("{name}, the only admin");
    Err(Refusal::unsound(
        "name",
        found,
        "another admin beside them first",
    ))
}

fn sound_langs(langs: &[Lang]) -> Result<(), Refusal> {
    if langs.len() <= limits::LANGS_MAX {
        return Ok(());
    }
    Err(too_many("languages of one person", limits::LANGS_MAX))
}
