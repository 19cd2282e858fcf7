"""Step 3: the body over the photo, and the means to correct it."""

from typing import ClassVar

import bpy
from bpy.app.translations import pgettext_tip as tip_
from bpy.props import BoolProperty, EnumProperty

from ..scene.posing import mirror, reset_limb, selected_joints, set_preset
from ..scene.rig import adopt_armature, can_adopt, find_rigs, set_shape
from ..session.sight import show_body
from .job_requests import request_estimate, request_refit
from .operator_base import ExplainedOperator
from .property_access import own_rig_of
from .requirements import need_backend, need_editable, need_photo, need_rig


class HUMANREF_OT_estimate(ExplainedOperator, bpy.types.Operator):
    """Find the person in the photo and lay a posable body over it"""

    bl_idname = "humanref.estimate"
    bl_label = "Estimate Body"
    needs = (need_photo, need_backend)

    def run(self, context: bpy.types.Context) -> None:
        request_estimate(context)


class HUMANREF_OT_refit(ExplainedOperator, bpy.types.Operator):
    """Fit the body to the photo again. Bones that you have turned stay as they are"""

    bl_idname = "humanref.refit"
    bl_label = "Re-fit Keeping My Edits"
    needs = (need_photo, need_rig, need_backend)

    def run(self, context: bpy.types.Context) -> None:
        request_refit(context)


class HUMANREF_OT_set_pose(ExplainedOperator, bpy.types.Operator):
    """Put the body into a ready pose; where it stands does not change"""

    bl_idname = "humanref.set_pose"
    bl_label = "Set Pose"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}
    needs = (need_rig, need_editable)

    pose: EnumProperty(
        name="Pose",
        description="Ready pose",
        items=(
            ("T", "T-Pose", "Arms straight to the sides"),
            ("A", "A-Pose", "Arms lowered by 45 degrees"),
            ("RELAXED", "Relaxed", "Standing at ease, arms at the sides"),
        ),
    )

    def run(self, context: bpy.types.Context) -> None:
        set_preset(own_rig_of(context.scene), self.pose)


class HUMANREF_OT_mirror_pose(ExplainedOperator, bpy.types.Operator):
    """Give one side of the body the mirrored pose of the other"""

    bl_idname = "humanref.mirror_pose"
    bl_label = "Mirror Pose"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}
    needs = (need_rig, need_editable)

    side: EnumProperty(
        name="From",
        description="Side that keeps its pose; left and right are the person's own",
        items=(
            ("left", "Left to Right", "The person's right side takes the pose of the left"),
            ("right", "Right to Left", "The person's left side takes the pose of the right"),
        ),
    )

    def run(self, context: bpy.types.Context) -> None:
        mirror(own_rig_of(context.scene), self.side)


_LIMBS = (
    ("SELECTED", "Selected Bones", "The selected bones and all below them", ()),
    ("LEFT_ARM", "Left Arm", "From the collar to the fingers", ("left_collar",)),
    ("RIGHT_ARM", "Right Arm", "From the collar to the fingers", ("right_collar",)),
    ("LEFT_LEG", "Left Leg", "From the hip to the foot", ("left_hip",)),
    ("RIGHT_LEG", "Right Leg", "From the hip to the foot", ("right_hip",)),
    ("HEAD", "Head", "Neck, head, jaw and eyes", ("neck",)),
    ("ALL", "Whole Body", "Everything", ("pelvis",)),
)


class HUMANREF_OT_reset_limb(ExplainedOperator, bpy.types.Operator):
    """Take your changes to a limb back, as far as the estimated pose or to the T-pose"""

    bl_idname = "humanref.reset_limb"
    bl_label = "Reset Limb"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}
    needs = (need_rig, need_editable)

    limb: EnumProperty(
        name="Limb",
        description="What is reset; left and right are the person's own",
        items=tuple(limb[:3] for limb in _LIMBS),
    )
    to: EnumProperty(
        name="To",
        description="Pose it goes back to",
        items=(
            ("proposed", "Estimated", "As the backend proposed it"),
            ("rest", "T-Pose", "As in the T-pose"),
        ),
    )

    def run(self, context: bpy.types.Context) -> None:
        rig = own_rig_of(context.scene)
        joints = next(limb[3] for limb in _LIMBS if limb[0] == self.limb)
        reset_limb(rig, joints or selected_joints(rig), self.to)


class HUMANREF_OT_reset_shape(ExplainedOperator, bpy.types.Operator):
    """Back to the average build and size"""

    bl_idname = "humanref.reset_shape"
    bl_label = "Reset Shape"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}
    needs = (need_rig, need_editable)

    def run(self, context: bpy.types.Context) -> None:
        settings = context.scene.humanref
        set_shape(own_rig_of(context.scene), (0.0,) * len(settings.shape))


class HUMANREF_OT_show_body(ExplainedOperator, bpy.types.Operator):
    """Show the posable body, or take it out of sight"""

    bl_idname = "humanref.show_body"
    bl_label = "Show Body"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}
    needs = (need_rig,)

    shown: BoolProperty(name="Show", description="Whether the body is in sight", default=True)

    def run(self, context: bpy.types.Context) -> None:
        show_body(context.scene, shown=self.shown)


def _need_other_rig(context: bpy.types.Context) -> str:
    candidate = context.view_layer.objects.active
    if candidate is None or candidate.type != "ARMATURE":
        return tip_("Select an armature")
    if candidate == own_rig_of(context.scene):
        return tip_("This armature is in use already")
    if candidate in find_rigs(context.scene) or can_adopt(candidate):
        return ""
    return tip_("The selected armature has no SMPL-X bones")


class HUMANREF_OT_use_armature(ExplainedOperator, bpy.types.Operator):
    """Use the selected SMPL-X armature as the body, instead of estimating one"""

    bl_idname = "humanref.use_armature"
    bl_label = "Use Selected Armature"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}
    needs = (_need_other_rig, need_editable)

    def run(self, context: bpy.types.Context) -> None:
        chosen = context.view_layer.objects.active
        if chosen not in find_rigs(context.scene):
            chosen = adopt_armature(chosen)
        context.scene.humanref.rig = chosen


CLASSES = (
    HUMANREF_OT_estimate,
    HUMANREF_OT_refit,
    HUMANREF_OT_set_pose,
    HUMANREF_OT_mirror_pose,
    HUMANREF_OT_reset_limb,
    HUMANREF_OT_reset_shape,
    HUMANREF_OT_show_body,
    HUMANREF_OT_use_armature,
)
