//! Changes of membership, as a campaign draws them.

use std::fmt;

use proto::eraftpb::{ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2};

/// A change of membership. Without changes it leaves the joint configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reshape {
    /// What happens to which node.
    pub changes: Vec<(Role, u64)>,
    /// How a joint configuration is left, if one is needed or wanted.
    pub transition: Transition,
    /// Whether a single change is written in the older form.
    pub old_form: bool,
}

/// What becomes of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A voter.
    Voter,
    /// A learner.
    Learner,
    /// No member.
    Gone,
}

/// How a joint configuration is entered and left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Transition {
    /// A joint configuration only where one is needed; it is left by itself.
    #[default]
    Auto,
    /// A joint configuration that is left by itself.
    Implicit,
    /// A joint configuration that is left when somebody says so.
    Explicit,
}

impl Role {
    fn change_type(self) -> i32 {
        let change_type = match self {
            Role::Voter => ConfChangeType::AddNode,
            Role::Learner => ConfChangeType::AddLearnerNode,
            Role::Gone => ConfChangeType::RemoveNode,
        };
        change_type as i32
    }
}

impl Reshape {
    /// In the older form, if that is wanted and can say it.
    pub fn to_v1(&self) -> Option<ConfChange> {
        match self.changes[..] {
            [(role, node_id)] if self.old_form && self.transition == Transition::Auto => {
                Some(ConfChange { change_type: role.change_type(), node_id, ..ConfChange::default() })
            }
            _ => None,
        }
    }

    /// In the newer form.
    pub fn to_v2(&self) -> ConfChangeV2 {
        let single =
            |(role, node_id): &(Role, u64)| ConfChangeSingle { change_type: role.change_type(), node_id: *node_id };
        let transition = match self.transition {
            Transition::Auto => ConfChangeTransition::Auto,
            Transition::Implicit => ConfChangeTransition::Implicit,
            Transition::Explicit => ConfChangeTransition::Explicit,
        };
        ConfChangeV2 {
            transition: transition as i32,
            changes: self.changes.iter().map(single).collect(),
            ..ConfChangeV2::default()
        }
    }
}

impl fmt::Display for Reshape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.changes.is_empty() {
            return f.write_str("leave the joint configuration");
        }
        write!(f, "change members ({:?}):", self.transition)?;
        self.changes.iter().try_for_each(|(role, node)| write!(f, " n{node} {role:?}"))
    }
}
