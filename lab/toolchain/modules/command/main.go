// The lab's stand-in for the command plugin, whose own module is not served: remote.Command alone, with the
// names, defaults, outputs and retries of the original, and refusing every input that it does not know.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
)

// Set by the linker to the version of the Python package.
var version = "0.0.0"

func main() {
	if err := provider().Run(context.Background(), "command", version); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func provider() p.Provider {
	inferred := infer.Provider(infer.Options{Resources: []infer.InferredResource{infer.Resource(&Command{})}})
	diff := inferred.Diff
	inferred.Diff = func(ctx context.Context, request p.DiffRequest) (p.DiffResponse, error) {
		response, err := diff(ctx, request)
		if err == nil && !request.Inputs.Get("update").IsNull() {
			response.DetailedDiff = updateOnTriggers(response.DetailedDiff)
		}
		return response, err
	}
	return inferred
}

// updateOnTriggers reports a change inside `triggers` as one of `triggers` itself: the SDK asks for a replacement
// when `triggers[*]` changes, and with an `update` command there is to be none.
func updateOnTriggers(diff map[string]p.PropertyDiff) map[string]p.PropertyDiff {
	folded := map[string]p.PropertyDiff{}
	for path, change := range diff {
		if strings.HasPrefix(path, "triggers") {
			path, change.Kind = "triggers", p.Update
		}
		folded[path] = change
	}
	return folded
}
