package bench.admission

containers contains container if some container in input.request.object.spec.containers

containers contains container if some container in input.request.object.spec.initContainers

deny contains "a pod needs the label `team`" if not input.request.object.metadata.labels.team

deny contains "a pod needs the label `cost-center`" if not input.request.object.metadata.labels["cost-center"]

deny contains "a pod must not share the host's network" if input.request.object.spec.hostNetwork

deny contains "a pod must not share the host's processes" if input.request.object.spec.hostPID

deny contains message if {
	some container in containers
	not allowed_registry(container.image)
	message := sprintf("`%s` comes from a registry that is not allowed", [container.image])
}

deny contains message if {
	some container in containers
	endswith(container.image, ":latest")
	message := sprintf("`%s` is not pinned", [container.name])
}

deny contains message if {
	some container in containers
	container.securityContext.privileged
	message := sprintf("`%s` is privileged", [container.name])
}

deny contains message if {
	some container in containers
	not container.securityContext.runAsNonRoot
	message := sprintf("`%s` may run as root", [container.name])
}

deny contains message if {
	some container in containers
	not container.resources.limits.memory
	message := sprintf("`%s` has no memory limit", [container.name])
}

deny contains message if {
	some container in containers
	some capability in container.securityContext.capabilities.add
	not capability in data.capabilities
	message := sprintf("`%s` asks for %s", [container.name, capability])
}

deny contains message if {
	some volume in input.request.object.spec.volumes
	volume.hostPath
	message := sprintf("the volume `%s` is a path of the host", [volume.name])
}

allowed_registry(image) if {
	some registry in data.registries
	startswith(image, registry)
}

decision := {"allowed": count(deny) == 0, "reasons": deny}
