"""From a command line to the pipeline's request. Heavy: imported when a command runs."""

from __future__ import annotations

from backend.cli.arguments import Estimate, Generate
from backend.perception.overrides import Overrides
from backend.perception.providers import PerceptionChoices
from backend.pipeline import EstimateRequest


def estimate_request(args: Generate | Estimate) -> EstimateRequest:
    """The pipeline's request."""
    own, chosen = args.your_own, args.providers
    return EstimateRequest(
        photo=args.photo,
        pose=args.pose,
        refit=isinstance(args, Estimate) and args.refit,
        locked_joints=locked_joints(args) if isinstance(args, Estimate) else frozenset(),
        overrides=Overrides(
            mask=own.mask,
            regions=own.regions,
            caption=own.caption,
            normals_front=own.normals_front,
            normals_back=own.normals_back,
        ),
        person=args.person,
        body=args.body.model,
        smplx_path=args.body.smplx_model,
        height_cm=args.body.height_cm,
        providers=PerceptionChoices(
            segmentation=chosen.segmentation,
            parsing=chosen.parsing,
            caption=chosen.captioner,
            normals=chosen.normals_provider,
            device=args.device,
        ),
    )


def locked_joints(args: Estimate) -> frozenset[str]:
    """The names in ``--lock``, which may have spaces around their commas."""
    names = (name.strip() for name in (args.lock or "").split(","))
    return frozenset(name for name in names if name)
